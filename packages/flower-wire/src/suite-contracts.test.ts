import { Metric } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { RecordDialect, Task, TaskKind } from '@aegis/contracts/aegis/events/v1/task';
import { describe, expect, it } from 'vitest';
import type { ConfigEntry } from './records.ts';
import { fromEntry, toEntry, toTaskToRender } from './suite-contracts.ts';

describe("the suite's own contracts", () => {
  it('carry every kind of scalar, over the wire too', () => {
    const entries: ConfigEntry[] = [
      { key: 'a', value: { kind: 'real', value: -0.5 } },
      { key: 'b', value: { kind: 'integer', value: -(2n ** 63n) } },
      { key: 'c', value: { kind: 'flag', value: false } },
      { key: 'd', value: { kind: 'text', value: '' } },
      { key: 'e', value: { kind: 'data', value: Buffer.from([0]) } },
      { key: 'f', value: { kind: 'reals', value: [1, 2.5] } },
      { key: 'g', value: { kind: 'integers', value: [1n, -2n] } },
      { key: 'h', value: { kind: 'flags', value: [] } },
      { key: 'i', value: { kind: 'texts', value: ['x'] } },
      { key: 'j', value: { kind: 'datas', value: [Buffer.alloc(0)] } },
    ];
    for (const entry of entries)
      expect(toEntry(Metric.decode(Metric.encode(fromEntry(entry)).finish()))).toEqual(entry);
  });

  it('turn integers they cannot hold into reals', () => {
    const one = fromEntry({ key: 'k', value: { kind: 'integer', value: 2n ** 63n } });
    const many = fromEntry({ key: 'k', value: { kind: 'integers', value: [1n, 2n ** 63n] } });
    expect([toEntry(one).value, toEntry(many).value]).toEqual([
      { kind: 'real', value: 2 ** 63 },
      { kind: 'reals', value: [1, 2 ** 63] },
    ]);
  });

  it('describe a task that can be rendered, or say that they do not', () => {
    const task = Task.fromPartial({
      runId: 7n,
      nodeId: 42n,
      kind: TaskKind.EVALUATE,
      layout: { dialect: RecordDialect.LEGACY, weightedByKey: 'num-examples' },
      createdAt: 5,
      ttl: 6,
    });
    expect(toTaskToRender(task)).toMatchObject({ kind: 'evaluate', nodeId: 42n, layout: { dialect: 'legacy' } });
    expect(() => toTaskToRender(Task.fromPartial({ kind: TaskKind.TRAIN }))).toThrow('no kind or layout');
  });
});
