import { RecordDialect, TaskKind } from '@aegis/contracts/aegis/events/v1/task';
import { ServerFrame, TaskOffer } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readFrame, readOffer } from './messages.ts';

const offer = (changes: Parameters<typeof TaskOffer.fromPartial>[0] = {}): TaskOffer =>
  TaskOffer.fromPartial({
    ...{ taskId: '01J', runId: 7n, round: 1, kind: TaskKind.TRAIN, ttl: 1, createdAt: 2 },
    layout: { dialect: RecordDialect.MESSAGE, arrayRecordKey: 'arrays', configRecordKey: 'config', weightedByKey: 'n' },
    model: {
      modelId: 'a'.repeat(64),
      bytes: 10n,
      tensors: [{ name: 'w', dtype: '<f4', shape: [1n], offset: 0n, length: 10n }],
    },
    ...changes,
  });

describe('an offer', () => {
  it('is read with what an app needs', () => {
    expect(readOffer(offer())).toMatchObject({
      ...{ taskId: '01J', kind: 'train', model: { bytes: 10, tensors: [{ name: 'w', shape: [1], length: 10 }] } },
      layout: { dialect: 'message', weightedByKey: 'n' },
    });
  });

  it.each<[string, Parameters<typeof offer>[0]]>([
    ['an id that would be a path', { taskId: '../../etc' }],
    ['no id', { taskId: '' }],
    ['no layout', { layout: undefined }],
    ['no kind', { kind: TaskKind.UNSPECIFIED }],
    ['no model', { model: undefined }],
    ['a model where none belongs', { kind: TaskKind.INITIAL_MODEL }],
    ['a model id that would be a path', { model: { modelId: '../x', bytes: 1n } }],
    [
      'a tensor outside its model',
      { model: { modelId: 'a'.repeat(64), bytes: 9n, tensors: [{ offset: 5n, length: 5n }] } },
    ],
    ['a model no disk holds', { model: { modelId: 'a'.repeat(64), bytes: 2n ** 63n } }],
    ['a value that is none', { config: [{ key: 'lr' }] }],
  ])('with %s is refused', (_name, changes) => {
    expect(() => readOffer(offer(changes))).toThrow(expect.objectContaining({ code: 'REQUEST_MALFORMED' }));
  });
});

describe('bytes from the server', () => {
  const valid = Buffer.from(
    ServerFrame.encode({ frame: { $case: 'taskOffer', value: offer() }, content: Buffer.from('body') }).finish(),
  );

  it('whatever they are, are a frame or a typed refusal', () => {
    const mutated = fc
      .array(fc.record({ at: fc.nat(valid.length - 1), to: fc.nat(255) }), { maxLength: 4 })
      .map((changes) => {
        const bytes = Buffer.from(valid);
        for (const { at, to } of changes) bytes[at] = to;
        return bytes;
      });
    const cut = fc.nat(valid.length).map((length) => valid.subarray(0, length));
    const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(mutated, cut, noise), (bytes) => {
        try {
          const heard = readFrame(bytes);
          if (heard?.said.$case === 'taskOffer') readOffer(heard.said.value);
        } catch (error) {
          expect(error).toBeInstanceOf(AegisError);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
