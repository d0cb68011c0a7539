import { describe, expect, it } from 'vitest';
import type { Task } from '../../domain/task.ts';
import { npyOf } from '../../testing/npy.ts';
import { OfferedMessages } from './offered-messages.ts';

const task: Task = {
  taskId: '01J',
  runId: 1n,
  nodeId: 2n,
  round: 1,
  kind: 'train',
  modelId: 'a'.repeat(64),
  config: [],
  layout: { dialect: 'message', arrayRecordKey: 'arrays', configRecordKey: 'config', weightedByKey: 'num-examples' },
  createdAt: 1_790_000_000,
  ttl: 3_600,
  groupId: '',
  traceparent: '',
  deadline: 0,
  join: false,
};

describe('a slice of a model', () => {
  it('is in memory once as long as somebody holds it, though the cache had to forget it', async () => {
    const npy = npyOf(Float32Array.from({ length: 1_000 }, (_, index) => index));
    let reads = 0;
    const offered = new OfferedMessages(
      {
        model: async (modelId) => ({
          modelId,
          bytes: npy.length,
          tensors: [{ name: 'w', dtype: '<f4', shape: [1_000], offset: 0, length: npy.length }],
        }),
        readModel: async (_modelId, offset, length) => {
          reads += 1;
          return Buffer.from(npy.subarray(offset, offset + length));
        },
      },
      { modelBytes: 0, messageBytes: 0 },
    );
    const message = await offered.of(task);
    const ofModel = async (id: string) => (message.own.has(id) ? null : offered.find(message, id));
    const ids: string[] = [];
    const collect = ({ id, children }: typeof message.tree): void => {
      ids.push(id);
      for (const child of children) collect(child);
    };
    collect(message.tree);
    const held = await Promise.all(ids.map(ofModel));
    const before = reads;
    const again = await Promise.all(ids.map(ofModel));
    expect(reads).toBe(before);
    const slices = held.flatMap((pieces) => pieces?.slice(1) ?? []);
    expect(slices.length).toBeGreaterThan(0);
    for (const [at, pieces] of again.entries()) expect(pieces?.[1]).toBe(held[at]?.[1]);
  });
});
