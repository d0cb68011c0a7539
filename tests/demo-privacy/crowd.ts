// Two hundred nodes in one process: each with a key of its own, over its own aegis.node.v1 stream to the real gateway.
import type { TaskOffer } from '@aegis/contracts/aegis/node/v1/node';
import { readNpy, writeNpy } from '../../services/aggregator/src/store/memory/npy.ts';
import {
  cutAnswer,
  NativeNode,
  type NativeStream,
  readModel,
  weightOf,
} from '../../services/gateway/src/testing/native-node.ts';
import type { Target } from '../../services/gateway/src/testing/wire-client.ts';
import { type Images, type Model, train } from './digits.ts';

export interface Learning {
  readonly epochs: number;
  readonly learningRate: number;
}

/** Answers every task it is offered, and comes back when the server went away. */
export class CrowdNode {
  readonly #node: NativeNode;
  readonly #images: Images;
  readonly #learning: Learning;
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(target: Target, images: Images, learning: Learning) {
    this.#node = new NativeNode(target);
    this.#images = images;
    this.#learning = learning;
  }

  start(): void {
    this.#loop = this.#live();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#node.close();
    await this.#loop;
  }

  async #live(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      let stream: NativeStream | undefined;
      try {
        ({ stream } = await this.#node.connect());
        const open = stream;
        const beat = setInterval(() => open.say({ $case: 'heartbeat', value: {} }), 10_000);
        void open.ended.then(() => clearInterval(beat));
        for (;;) await this.#work(open, await open.next('taskOffer'));
      } catch {
        // whatever ended the stream or was refused, another stream goes on where this one stopped
        stream?.close();
        if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 250 + 500 * Math.random()));
      }
    }
  }

  async #work(stream: NativeStream, offer: TaskOffer): Promise<void> {
    const { taskId } = offer;
    stream.say({ $case: 'taskAccepted', value: { taskId } });
    const model = modelIn(await readModel(stream, offer), offer);
    const learned = train(model, this.#images, this.#learning.epochs, this.#learning.learningRate);
    const { parts, submit } = cutAnswer(taskId, {
      tensors: {
        weight: writeNpy({ descr: '<f4', shape: [64, 10], values: [...learned.weight] }),
        bias: writeNpy({ descr: '<f4', shape: [10], values: [...learned.bias] }),
      },
      metrics: [weightOf(this.#images.y.length)],
    });
    stream.say({ $case: 'beginUpdate', value: { taskId, partIds: [...parts.keys()] } });
    const { partIds } = (await stream.answer('missingParts')).value;
    for (const partId of partIds) {
      stream.say({ $case: 'part', value: { taskId, partId } }, parts.get(partId) as Buffer);
      await stream.answer('partStored');
    }
    stream.say(submit);
    await stream.answer('verdict');
  }
}

function modelIn(body: Buffer, { model }: TaskOffer): Model {
  const array = (name: string): Float64Array => {
    const tensor = model?.tensors.find((one) => one.name === name);
    const [offset, length] = [Number(tensor?.offset ?? 0n), Number(tensor?.length ?? 0n)];
    return Float64Array.from(readNpy(body.subarray(offset, offset + length)).values);
  };
  return { weight: array('weight'), bias: array('bias') };
}
