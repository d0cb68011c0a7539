import {
  type DeepPartial,
  type MaskedGrid,
  type Masking,
  RecordDialect,
  SecaggStage,
  TaskKind,
} from '@aegis/contracts/aegis/events/v1/task';
import { ServerFrame, TaskOffer } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readStageRequest } from './masking.ts';
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

const masking = (changes: DeepPartial<Masking> = {}, grid: DeepPartial<MaskedGrid> = {}) => ({
  ...{ cohort: 5, plan: Buffer.alloc(32, 1), round: 2n ** 63n, degree: 4, threshold: 3, minSurvivors: 4 },
  ...{ bits: 23, length: 10n, stageSeconds: 60 },
  grid: {
    ...{ clip: 4, ownClips: { w: 2 }, metrics: [{ name: 'loss', low: 0, high: 10 }] },
    ...{ valueBits: 16, weightMax: 2n ** 32n, maxExamples: 1_000, normClip: 0, noiseSigma: 0, ...grid },
  },
  ...changes,
});

describe('the terms of a masked task', () => {
  it('are read as they are', () => {
    expect(readOffer(offer({ masking: masking() })).masking).toEqual({
      ...{ cohort: 5, plan: '01'.repeat(32), round: 2n ** 63n, degree: 4, threshold: 3, minSurvivors: 4 },
      ...{ bits: 23, length: 10 },
      grid: {
        ...{ clip: 4, ownClips: { w: 2 }, metrics: [{ name: 'loss', low: 0, high: 10 }] },
        ...{ valueBits: 16, weightMax: 2 ** 32, maxExamples: 1_000, normClip: null, noiseSigma: null },
      },
    });
    const alike = masking({}, { weightMax: 1n, maxExamples: 0 });
    expect(readOffer(offer({ masking: alike })).masking?.grid.maxExamples).toBe(null);
    expect(readOffer(offer()).masking).toBe(null);
  });

  const metric = (name: string) => ({ name, low: 0, high: 1 });
  it.each<[string, DeepPartial<Masking>]>([
    ['no cohort', masking({ cohort: 0 })],
    ['no plan', masking({ plan: Buffer.alloc(0) })],
    ['no degree', masking({ degree: 0 })],
    ['no threshold', masking({ threshold: 0 })],
    ['no survivors', masking({ minSurvivors: 0 })],
    ['more survivors than nodes', masking({ minSurvivors: 6 })],
    ['a modulus that no word holds', masking({ bits: 63 })],
    ['a vector that no memory holds', masking({ length: 2n ** 63n })],
    ['no grid', masking({ grid: undefined })],
    ['no clip', masking({}, { clip: 0 })],
    ['an endless clip', masking({}, { clip: Number.POSITIVE_INFINITY })],
    ['a clip of its own below 0', masking({}, { ownClips: { w: -1 } })],
    ['values of one bit', masking({}, { valueBits: 1 })],
    ['no weight', masking({}, { weightMax: 0n })],
    ['a weight too large', masking({}, { weightMax: 2n ** 32n + 1n })],
    ['no examples', masking({}, { maxExamples: 0 })],
    ['a question after examples that weigh nothing', masking({}, { weightMax: 1n, maxExamples: 50 })],
    ['a norm that is none', masking({}, { normClip: Number.NaN })],
    ['noise below nothing', masking({}, { noiseSigma: -1 })],
    ['noise that is none', masking({}, { noiseSigma: Number.NaN })],
    ['a metric without a range', masking({}, { metrics: [{ name: 'loss', low: 1, high: 1 }] })],
    ['a metric without a name', masking({}, { metrics: [metric('')] })],
    ['a name in which a record could hide', masking({}, { metrics: [metric('x'.repeat(201))] })],
    ['a metric twice', masking({}, { metrics: [metric('loss'), metric('loss')] })],
    ['metrics as many as a record', masking({}, { metrics: Array.from({ length: 257 }, (_, at) => metric(`${at}`)) })],
  ])('with %s are refused', (_name, changed) => {
    expect(() => readOffer(offer({ masking: changed }))).toThrow(
      expect.objectContaining({ code: 'REQUEST_MALFORMED' }),
    );
  });

  it('of a first model are refused: nobody can mask one', () => {
    const initial = { kind: TaskKind.INITIAL_MODEL, model: undefined, masking: masking() };
    expect(() => readOffer(offer(initial))).toThrow(expect.objectContaining({ code: 'REQUEST_MALFORMED' }));
  });
});

describe('a request of a stage', () => {
  const request = (stage: SecaggStage, bytes = 2) => ({ taskId: 't', stage, request: Buffer.alloc(bytes, 0x20) });

  it('is one of a stage that there is, or the end', () => {
    expect(readStageRequest(request(SecaggStage.CONFIRM))).toEqual({ stage: 'confirm', request: '  ' });
    expect(readStageRequest(request(SecaggStage.UNSPECIFIED))).toBe(null);
    expect(() => readStageRequest(request(17 as SecaggStage))).toThrow(
      expect.objectContaining({ code: 'REQUEST_MALFORMED' }),
    );
    const large = request(SecaggStage.SHARE, 64 * 2 ** 20 + 1);
    expect(() => readStageRequest(large)).toThrow(expect.objectContaining({ code: 'REQUEST_MALFORMED' }));
  });
});

describe('bytes from the server', () => {
  const valid = Buffer.from(
    ServerFrame.encode({
      frame: { $case: 'taskOffer', value: offer({ masking: masking() }) },
      content: Buffer.from('body'),
    }).finish(),
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
