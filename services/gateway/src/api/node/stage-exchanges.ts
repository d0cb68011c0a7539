import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import type { StageAnswer as WireAnswer } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import type { NodeRecord } from '../../domain/node.ts';
import type { Stage, StageAnswer } from '../../domain/stage.ts';
import type { Task } from '../../domain/task.ts';
import { exchangeStage, findMaskedTask } from '../../flows/exchange-stage.ts';
import type { Gateway } from '../../flows/gateway.ts';
import type { ToSay } from './frames.ts';
import { nodeLimits } from './limits.ts';

const stages: Readonly<Partial<Record<SecaggStage, Stage>>> = {
  [SecaggStage.ADVERTISE]: 'advertise',
  [SecaggStage.SHARE]: 'share',
  [SecaggStage.MASK]: 'mask',
  [SecaggStage.CONFIRM]: 'confirm',
  [SecaggStage.UNMASK]: 'unmask',
};
const numbers = {
  advertise: SecaggStage.ADVERTISE,
  share: SecaggStage.SHARE,
  mask: SecaggStage.MASK,
  confirm: SecaggStage.CONFIRM,
  unmask: SecaggStage.UNMASK,
} as const satisfies Record<Stage, SecaggStage>;
const nothing = Buffer.alloc(0);

/** The masked rounds that one stream takes part in: of each, the answer whose next request is waited for. */
export class StageExchanges {
  readonly #gateway: Gateway;
  readonly #over: AbortSignal;
  readonly #node: NodeRecord;
  readonly #open = new Map<string, AbortController>();

  constructor(gateway: Gateway, node: NodeRecord, over: AbortSignal) {
    this.#gateway = gateway;
    this.#node = node;
    this.#over = over;
  }

  /** What the node is told; null when nothing is: a newer answer took its place, the task was withdrawn, or the stream is over. */
  async answer(said: WireAnswer, inHand: Task | undefined): Promise<Extract<ToSay, { $case: 'stageRequest' }> | null> {
    const { taskId } = said;
    const answer = read(said);
    this.end(taskId);
    if (this.#open.size >= nodeLimits.stageExchanges) {
      throw new AegisError('UNAVAILABLE', `At most ${nodeLimits.stageExchanges} masked rounds at once.`);
    }
    const waiting = new AbortController();
    this.#open.set(taskId, waiting);
    const signal = AbortSignal.any([waiting.signal, this.#over]);
    try {
      const task = await findMaskedTask(this.#gateway, this.#node, taskId, inHand);
      const news = await exchangeStage(this.#gateway, task, answer, signal);
      if (signal.aborted) return null;
      const next = news.what === 'done' ? over : { stage: numbers[news.stage], request: news.request };
      return { $case: 'stageRequest', value: { taskId, ...next } };
    } catch (caught) {
      if (signal.aborted) return null;
      throw caught;
    } finally {
      if (this.#open.get(taskId) === waiting) this.#open.delete(taskId);
    }
  }

  /** Nobody waits for what this task is asked next. */
  end(taskId: string): void {
    this.#open.get(taskId)?.abort();
    this.#open.delete(taskId);
  }
}

const over = { stage: SecaggStage.UNSPECIFIED, request: nothing };

const read = ({ stage, answer }: WireAnswer): StageAnswer => {
  const known = stages[stage];
  if (known === undefined) throw new AegisError('SECAGG_ANSWER', `There is no stage ${stage}.`);
  if (answer.byteLength > nodeLimits.stageAnswer) {
    throw new AegisError(
      'SECAGG_ANSWER',
      `It has ${answer.byteLength} bytes, at most ${nodeLimits.stageAnswer} are taken.`,
    );
  }
  return { stage: known, answer };
};
