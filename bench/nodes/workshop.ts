import { createHash } from 'node:crypto';
import { MetricRecord } from '@aegis/contracts/flwr/proto/recorddict';
import { type ArraySpec, readLayout } from './layout.ts';
import type { Ledger } from './ledger.ts';
import { type FlowerObject, makeObject, pythonJson } from './object-bytes.ts';
import { type Tree, UpdateSource } from './update-source.ts';

export interface ReplyContent {
  objects: FlowerObject[];
  tree: Tree;
  chunkBytes: number;
}

/** What all nodes of a process share: verified objects, the update template, the check of the averaged model. */
export class Workshop {
  readonly #ledger: Ledger;
  readonly #verified = new Map<string, number>();
  readonly #checked = new Set<string>();
  #source: UpdateSource | null = null;
  #initial: string | null = null;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Hashes an object the first time any node pulls it; after that its length must agree. */
  verify(id: string, content: Buffer): void {
    const known = this.#verified.get(id);
    if (known === undefined) {
      if (createHash('sha256').update(content).digest('hex') !== id) throw new Error(`object ${id} has another hash`);
      this.#verified.set(id, content.length);
    } else if (known !== content.length) throw new Error(`object ${id} changed its length`);
  }

  reply(small: Map<string, Buffer>, heads: Map<string, Buffer>): ReplyContent {
    const layout = readLayout(small);
    if (!layout) throw new Error('a task without arrays');
    this.#source ??= new UpdateSource(layout);
    this.#check(layout, heads);
    const arrays = this.#source.next();
    const metrics = makeObject('MetricRecord', [], MetricRecord.encode(trainMetrics()).finish());
    const records = { arrays: arrays.record.id, metrics: metrics.id };
    const content = makeObject('RecordDict', Object.values(records), Buffer.from(pythonJson(records)));
    return {
      objects: [...arrays.objects, metrics, content],
      tree: { objectId: content.id, children: [arrays.tree, { objectId: metrics.id, children: [] }] },
      chunkBytes: arrays.chunkBytes,
    };
  }

  /** From the second round on, the model must be the mean of the updates: proof that the server did the work. */
  #check(layout: ArraySpec[], heads: Map<string, Buffer>): void {
    const model = layout.map(({ chunks }) => chunks[0]).join();
    this.#initial ??= model;
    if (model === this.#initial || this.#checked.has(model)) return;
    this.#checked.add(model);
    for (const { name, chunks } of layout) {
      const head = heads.get(chunks[0] ?? '');
      if (head && this.#source?.isMean(name, head) === false)
        throw new Error(`array ${name} is not the mean of the updates`);
    }
    this.#ledger.modelsChecked += 1;
  }
}

const trainMetrics = (): MetricRecord => ({
  items: [
    { key: 'train_loss', value: { value: { $case: 'double', value: Math.random() } } },
    { key: 'num-examples', value: { value: { $case: 'sint64', value: 20n } } },
  ],
});
