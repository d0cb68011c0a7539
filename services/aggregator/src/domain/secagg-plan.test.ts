import { describe, expect, it } from 'vitest';
import { buildPlan } from './plan.ts';
import { flag, integer, real, type Scalar, text } from './scalar.ts';
import { gridOf, type SecaggPlan } from './secagg-plan.ts';

const base = { 'num-server-rounds': integer(3), 'aegis.initial-model': text('model:x'), 'min-train-nodes': integer(5) };
const build = (keys: Record<string, Scalar>, dialect: 'message' | 'legacy' = 'message') =>
  buildPlan({
    appId: 'aegis/tiny',
    appConfig: new Map(Object.entries({ ...base, ...keys })),
    overrides: new Map(),
    captured: null,
    detectedDialect: dialect,
  });
const masked = (keys: Record<string, Scalar> = {}, dialect?: 'legacy') =>
  build({ 'aegis.secagg.mode': text('aegis'), ...keys }, dialect);
const refusal = (words: string) =>
  expect.objectContaining({ code: 'PLAN_INVALID', message: expect.stringContaining(words) });

describe('the masks of a plan', () => {
  it('are absent unless asked for', () => {
    expect(build({}).plan).not.toHaveProperty('secagg');
    expect(build({ 'aegis.secagg.mode': text('off') }).plan).not.toHaveProperty('secagg');
  });

  it('have defaults, and are told', () => {
    const { plan, notes } = masked();
    expect(plan.secagg).toEqual({
      mode: 'aegis',
      grid: { clip: 8, ownClips: [], metrics: [], valueBits: 16, weightMax: 1, maxExamples: 0, normClip: 0 },
      onlyIn: [],
      dropouts: 0.2,
      colluders: 0.1,
      stageSeconds: 30,
    });
    expect(notes).toContainEqual(
      expect.stringMatching(/all answers weigh the same; no metric leaves a node.*20 % .* 10 %/),
    );
  });

  it('take every setting', () => {
    const { plan } = masked({
      'aegis.secagg.clip': real(0.5),
      'aegis.secagg.own-clips': text('bn.num_batches:1000, a:b:2.5'),
      'aegis.secagg.metrics': text('accuracy:0:1, loss:-1e-3:10'),
      'aegis.secagg.value-bits': integer(12),
      'aegis.secagg.weight-max': integer(64),
      'aegis.secagg.max-examples': integer(6_000),
      'aegis.secagg.norm-clip': integer(3),
      'aegis.secagg.dropouts': real(0.4),
      'aegis.secagg.colluders': integer(0),
      'aegis.secagg.stage-seconds': integer(5),
    });
    expect(plan.secagg).toEqual({
      mode: 'aegis',
      grid: {
        clip: 0.5,
        ownClips: [
          { tensor: 'bn.num_batches', clip: 1000 },
          { tensor: 'a:b', clip: 2.5 },
        ],
        metrics: [
          { name: 'accuracy', low: 0, high: 1 },
          { name: 'loss', low: -0.001, high: 10 },
        ],
        valueBits: 12,
        weightMax: 64,
        maxExamples: 6_000,
        normClip: 3,
      },
      onlyIn: [],
      dropouts: 0.4,
      colluders: 0,
      stageSeconds: 5,
    });
  });

  it('mask in each kind of task what its nodes report', () => {
    const named = 'accuracy:0:1, train_loss:0:10:train, eval:b:0:5:evaluate';
    const { plan } = masked({ 'aegis.secagg.metrics': text(named), 'aegis.secagg.own-clips': text('n:9') });
    const secagg = plan.secagg as SecaggPlan;
    const namesIn = (kind: string) => gridOf(secagg, kind).metrics.map(({ name }) => name);
    expect(namesIn('train')).toEqual(['accuracy', 'train_loss']);
    expect(namesIn('evaluate')).toEqual(['accuracy', 'eval:b']);
    expect(gridOf(secagg, 'train').ownClips).toEqual([{ tensor: 'n', clip: 9 }]);
    expect(gridOf(secagg, 'evaluate').ownClips).toEqual([]);
  });

  it.each([
    ['mode', text('on'), 'is "on"; it must be "off", "aegis" or "flower"'],
    ['clip', real(0), 'is 0; it must be more than 0'],
    ['norm-clip', integer(0), 'is 0; it must be more than 0'],
    ['value-bits', integer(33), 'is 33; it must be from 2 to 32'],
    ['value-bits', integer(1), 'is 1; it must be from 2 to 32'],
    ['weight-max', integer(0), 'is 0; it must be from 1'],
    ['weight-max', integer(10), 'aegis.secagg.max-examples is missing: with aegis.secagg.weight-max = 10'],
    ['max-examples', integer(10), 'is 10, but with aegis.secagg.weight-max = 1 all answers weigh the same'],
    ['dropouts', real(1), 'is 1; it must be below 1'],
    ['colluders', real(-0.1), 'is -0.1; it must be from 0 to 1'],
    ['stage-seconds', integer(0), 'is 0; it must be from 1'],
    ['metrics', text('accuracy'), 'has "accuracy"; say NAME:LOW:HIGH'],
    ['metrics', text('a:1:1'), 'has "a:1:1"; say NAME:LOW:HIGH'],
    ['metrics', text('a:0:Infinity'), 'has "a:0:Infinity"; say NAME:LOW:HIGH'],
    ['metrics', text('a:0:1,a:0:2'), 'has "a" twice'],
    ['metrics', text('a:0:1:train,a:0:1:evaluate'), 'has "a" twice'],
    ['metrics', text('a:0:1:test'), 'has "a:0:1:test"; say NAME:LOW:HIGH'],
    ['metrics', text('num-examples:0:1'), 'has "num-examples", which travels as the weight'],
    ['own-clips', text('w'), 'has "w"; say ARRAY:RANGE'],
    ['own-clips', text('w:0'), 'has "w:0"; say ARRAY:RANGE'],
    ['own-clips', text('w:1,w:2'), 'has "w" twice'],
    ['noise', integer(1), 'aegis.secagg.noise is not a key of ours'],
  ])('refuse %s = %o by name', (key, value, words) => {
    expect(() => masked({ [`aegis.secagg.${key}`]: value })).toThrow(refusal(words));
  });

  it.each([
    ['aegis.join', flag(true), 'aegis.join is true, and aegis.secagg.mode is "aegis"'],
    ['aegis.selection.min-report', integer(2), 'aegis.selection.min-report has no place where'],
    ['aegis.selection.over-select', real(1.5), 'aegis.selection.over-select is 1.5, and'],
  ])('refuse %s beside them', (key, value, words) => {
    expect(() => masked({ [key]: value })).toThrow(refusal(words));
  });

  it('refuse a first model from a node', () => {
    expect(() => masked({ 'aegis.initial-model': text('node') }, 'legacy')).toThrow(
      refusal('aegis.initial-model is "node", and aegis.secagg.mode is "aegis"'),
    );
  });

  const isPrivate = { 'aegis.privacy.unit': text('node'), 'aegis.privacy.clip': real(1.5) };

  it('of a private run clip as the promise says, and mask no metric of training', () => {
    const { plan } = masked({ ...isPrivate, 'aegis.secagg.metrics': text('loss:0:10:evaluate') });
    expect(plan.secagg?.grid).toMatchObject({ clip: 1.5, normClip: 1.5, weightMax: 1 });
    expect(plan.privacy).toMatchObject({ clip: 1.5, sampling: { kind: 'none' } });
    const noise = { parties: 3, localSigma: 40.5, dimension: 9, l1: 9, l2: 3 };
    const noised = { ...(plan.secagg as SecaggPlan), noise };
    expect(gridOf(noised, 'train')).toMatchObject({ noiseSigma: 40.5, metrics: [] });
    expect(gridOf(noised, 'evaluate').noiseSigma).toBeUndefined();
  });

  it.each([
    ['aegis.selection.sampling', text('poisson'), 'aegis.selection.sampling is "poisson", and the run is private'],
    ['aegis.privacy.adaptive-clip', flag(true), 'aegis.privacy.adaptive-clip is set, and'],
    ['aegis.privacy.weight-max', integer(3), 'aegis.privacy.weight-max is set, and'],
    ['aegis.secagg.norm-clip', real(1), 'aegis.secagg.norm-clip is set, and'],
    ['aegis.secagg.own-clips', text('w:1'), 'aegis.secagg.own-clips is set, and'],
    ['aegis.secagg.metrics', text('loss:0:10'), 'aegis.secagg.metrics has "loss" for training, and'],
    ['aegis.secagg.metrics', text('loss:0:10:train'), 'aegis.secagg.metrics has "loss" for training, and'],
  ])('of a private run refuse %s by name', (key, value, words) => {
    expect(() => masked({ ...isPrivate, [key]: value })).toThrow(refusal(words));
  });

  it('of a private run refuse weights', () => {
    const weights = { 'aegis.secagg.weight-max': integer(10), 'aegis.secagg.max-examples': integer(10) };
    expect(() => masked({ ...isPrivate, ...weights })).toThrow(refusal('aegis.secagg.weight-max is set, and'));
  });

  it('are not half asked for', () => {
    expect(() => build({ 'aegis.secagg.clip': real(1) })).toThrow(
      refusal('aegis.secagg.clip says how answers are masked, but aegis.secagg.mode is "off"'),
    );
  });
});
