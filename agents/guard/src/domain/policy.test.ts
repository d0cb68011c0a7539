import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Masking } from './masking.ts';
import { honestIn } from './masking-policy.ts';
import { type AnswerFacts, judgeAnswer, judgeOffer, type OfferFacts, type Policy } from './policy.ts';
import { matches, type RangeRule } from './rules.ts';
import type { ConfigEntry } from './task.ts';

/** Tensors of these names, whatever is in them. */
const any = (...names: string[]): RangeRule[] =>
  names.map((name) => ({ name, min: -Number.MAX_VALUE, max: Number.MAX_VALUE }));
const small: RangeRule = { name: 'w', min: -1, max: 1 };
const ranging = (least: number, greatest: number) => ({
  tensors: [{ ...w, range: { least, greatest } }],
});
const open: Policy = {
  apps: ['*'],
  appHashes: null,
  runs: null,
  kinds: ['train', 'evaluate'],
  requireSignedApp: false,
  consent: [],
  requireMasking: false,
  floors: { cohort: 3, survivors: 3, colluders: 0 },
  leastNoise: 0,
  noiseBudget: null,
  tensors: any('*'),
  metrics: [{ name: 'loss', min: 0, max: 10 }],
  weight: { min: 0, max: 100 },
  localNoise: null,
  errorDetails: false,
  updateBytes: 1_000,
  perDay: { answers: 3, bytes: 2_000 },
};
const w = { name: 'w', bytes: 500, form: 'f4' };
const nothing = { answers: 0, bytes: 0 };
const offer: OfferFacts = {
  ...{ runId: 7n, kind: 'train', appId: 'a/b', appHash: 'f'.repeat(64), signedBy: [] },
  ...{ masking: null, wasMasked: false, canMask: true },
};
const masking: Masking = {
  ...{ cohort: 5, plan: '', round: 1n, degree: 4, threshold: 3, minSurvivors: 4, bits: 20, length: 7 },
  grid: {
    ...{
      clip: 1,
      ownClips: {},
      metrics: [],
      valueBits: 16,
      weightMax: 1,
      maxExamples: 100,
      normClip: null,
      noiseSigma: null,
    },
  },
};
const covering = (...metrics: Masking['grid']['metrics']): Masking => ({
  ...masking,
  grid: { ...masking.grid, metrics },
});
const real = (key: string, value: number): ConfigEntry => ({ key, value: { kind: 'real', value } });
const answer: AnswerFacts = {
  kind: 'train',
  masking: null,
  tensors: [{ name: 'w', bytes: 500, form: 'f4' }],
  modelForms: new Map([
    ['w', 'f4'],
    ['b', 'f4'],
  ]),
  metrics: [],
  weight: 10,
};
const both = ['w', 'b'].map((name) => ({ name, bytes: 10, form: 'f4' }));
const withLoss = covering({ name: 'loss', low: 0, high: 10 });
const alike: Masking = { ...masking, grid: { ...masking.grid, maxExamples: null } };
const records: ConfigEntry = { key: 'loss', value: { kind: 'reals', value: [1, 2, 3] } };
const ruleOf = (decision: { allowed: boolean }) => ('rule' in decision ? decision.rule : '');

describe('an offer', () => {
  it.each<[string, Partial<Policy>, Partial<OfferFacts>, Partial<typeof nothing>, string]>([
    ['of an open policy', {}, {}, {}, ''],
    ['of another app', { apps: ['a/c', 'b/*'] }, {}, {}, 'apps'],
    ['of an app by pattern', { apps: ['a/*'] }, {}, {}, ''],
    ['of another bundle', { appHashes: ['0'.repeat(64)] }, {}, {}, 'app-hashes'],
    ['of the bundle', { appHashes: ['f'.repeat(64)] }, {}, {}, ''],
    ['of another run', { runs: [8n] }, {}, {}, 'runs'],
    ['of the run', { runs: [7n] }, {}, {}, ''],
    ['of another kind', {}, { kind: 'initial-model' }, {}, 'kinds'],
    ['unsigned where a signature is wanted', { requireSignedApp: true }, {}, {}, 'require-signed-app'],
    ['signed where a signature is wanted', { requireSignedApp: true }, { signedBy: ['board'] }, {}, ''],
    ['unmasked where masking is wanted', { requireMasking: true }, { signedBy: ['board'] }, {}, 'require-masking'],
    ['masked where masking is wanted', { requireMasking: true }, { masking }, {}, ''],
    ['in the clear of a run that was masked', {}, { wasMasked: true }, {}, 'require-masking'],
    ['masked of a run that was masked', {}, { masking, wasMasked: true }, {}, ''],
    ['masked, to a guard that signs nothing', {}, { masking, canMask: false }, {}, 'masking'],
    ['of a cohort of one', {}, { masking: { ...masking, cohort: 1 } }, {}, 'masking.cohort'],
    ['of a cohort below the floor', { floors: { ...open.floors, cohort: 6 } }, { masking }, {}, 'masking.cohort'],
    ['without noise', { leastNoise: 0.1 }, { masking }, {}, 'masking.noise-multiplier'],
    ['of few survivors', { floors: { ...open.floors, survivors: 5 } }, { masking }, {}, 'masking.survivors'],
    ['with a metric listed', {}, { masking: covering({ name: 'loss', low: 0, high: 10 }) }, {}, ''],
    ['with a metric not listed', {}, { masking: covering({ name: 'age', low: 0, high: 1 }) }, {}, 'metrics'],
    ['with a metric too wide', {}, { masking: covering({ name: 'loss', low: 0, high: 11 }) }, {}, 'metrics'],
    ['after all that may leave in a day', {}, {}, { answers: 3 }, 'limits.answers-per-day'],
    ['after more bytes than may leave in a day', {}, {}, { bytes: 2_001 }, 'limits.mib-per-day'],
  ])('%s', (_name, policy, facts, spent, rule) => {
    const decision = judgeOffer({ ...open, ...policy }, { ...offer, ...facts }, { ...nothing, ...spent });
    expect(ruleOf(decision)).toBe(rule);
    expect(decision.allowed).toBe(rule === '');
  });
});

describe('an answer', () => {
  it.each<[string, Partial<Policy>, Partial<AnswerFacts>, Partial<typeof nothing>, string]>([
    ['of an open policy', {}, {}, {}, ''],
    ['with a tensor that may not leave', { tensors: any('b*') }, {}, {}, 'tensors'],
    ['with values within their range', { tensors: [small] }, ranging(-1, 1), {}, ''],
    ['with a value below its range', { tensors: [small] }, ranging(-1.01, 1), {}, 'tensors'],
    ['with a value above its range', { tensors: [small] }, ranging(-1, 1.01), {}, 'tensors'],
    ['within the range of another rule', { tensors: [small, { ...small, max: 9 }] }, ranging(0, 8), {}, ''],
    ['split over two ranges', { tensors: [small, { ...small, min: 0.5, max: 9 }] }, ranging(0, 8), {}, 'tensors'],
    ['of a name that needs no range as well', { tensors: [small, ...any('*')] }, ranging(0, 8), {}, ''],
    ['without elements', { tensors: [small] }, { tensors: [{ ...w, range: null }] }, {}, ''],
    ['with NaN in a range', { tensors: [small] }, { tensors: [{ ...w, range: 'no-numbers' }] }, {}, 'tensors'],
    ['with a tensor the model does not have', {}, { tensors: [{ name: 'x', bytes: 1, form: 'f4' }] }, {}, 'tensors'],
    ['with a tensor of another form', {}, { tensors: [{ name: 'w', bytes: 1, form: 'f8' }] }, {}, 'tensors'],
    ['with any tensor as the first model', {}, { kind: 'initial-model', modelForms: new Map(), weight: null }, {}, ''],
    ['of an evaluation that carries tensors', {}, { kind: 'evaluate' }, {}, 'tensors'],
    ['of an evaluation', {}, { kind: 'evaluate', tensors: [] }, {}, ''],
    ['without a weight', {}, { weight: null }, {}, 'weight'],
    ['with too large a weight', {}, { weight: 101 }, {}, 'weight'],
    ['with a weight that is no number', {}, { weight: Number.NaN }, {}, 'weight'],
    [
      'with more bytes than an update may have',
      {},
      { tensors: [{ name: 'w', bytes: 1_001, form: 'f4' }] },
      {},
      'limits.update-mib',
    ],
    ['with bytes beyond those of the day', {}, {}, { bytes: 1_501 }, 'limits.mib-per-day'],
    ['unmasked where masking is wanted', { requireMasking: true }, {}, {}, 'require-masking'],
    ['masked, with a tensor missing', {}, { masking }, {}, 'tensors'],
    ['masked, with a tensor twice', {}, { masking, tensors: [...both, ...both] }, {}, 'tensors'],
    ['masked, whole', { requireMasking: true }, { masking, tensors: both }, {}, ''],
    ['masked, all weigh the same', {}, { masking: alike, tensors: both, weight: null }, {}, ''],
    ['masked, with a weight', {}, { masking, tensors: both, weight: 100 }, {}, ''],
    ['masked, with half a weight', {}, { masking, tensors: both, weight: 0.5 }, {}, 'weight'],
    [
      'masked, with too large a weight for the plan',
      { weight: { min: 0, max: 200 } },
      { masking, tensors: both, weight: 101 },
      {},
      'weight',
    ],
    ['masked, a metric missing', {}, { masking: withLoss, tensors: both }, {}, 'metrics'],
    ['masked, a metric a list', {}, { masking: withLoss, tensors: both, metrics: [records] }, {}, 'metrics'],
    [
      'masked, a metric no number',
      {},
      { masking: withLoss, tensors: both, metrics: [real('loss', NaN)] },
      {},
      'metrics',
    ],
  ])('%s', (_name, policy, facts, spent, rule) => {
    const decision = judgeAnswer({ ...open, ...policy }, { ...answer, ...facts }, { ...nothing, ...spent });
    expect(ruleOf(decision)).toBe(rule);
    expect(decision.allowed).toBe(rule === '');
  });

  it.each<[string, ConfigEntry, boolean]>([
    ['a number that is allowed', real('loss', 0.5), true],
    ['a number at its bound', real('loss', 10), true],
    ['a number outside its bounds', real('loss', 10.1), false],
    ['a number under another name', real('loss2', 0.5), false],
    ['an integer', { key: 'loss', value: { kind: 'integer', value: 3n } }, true],
    ['an integer no double holds', { key: 'loss', value: { kind: 'integer', value: 2n ** 63n } }, false],
    ['no number', real('loss', Number.NaN), false],
    ['infinity', real('loss', Number.POSITIVE_INFINITY), false],
    ['a list, which may be a whole record', { key: 'loss', value: { kind: 'reals', value: [1, 2, 3] } }, false],
    ['a text', { key: 'loss', value: { kind: 'text', value: 'Ada' } }, false],
    ['bytes', { key: 'loss', value: { kind: 'data', value: Buffer.from('Ada') } }, false],
  ])('%s: whether it leaves as a metric', (_name, metric, leaves) => {
    const decision = judgeAnswer(open, { ...answer, metrics: [metric] }, nothing);
    expect(decision).toEqual({
      allowed: true,
      metrics: leaves ? [metric] : [],
      masked: [],
      withheld: leaves ? [] : [metric.key],
    });
  });

  it('masked: exactly the metrics of the grid leave, in its order, and under the mask', () => {
    const metrics = [
      real('age', 41),
      real('loss', 2),
      { key: 'n', value: { kind: 'integer', value: 3n } } as const,
      records,
    ];
    const grid = covering({ name: 'n', low: 0, high: 9 }, { name: 'loss', low: 0, high: 10 });
    const decision = judgeAnswer(
      open,
      { ...answer, tensors: both, masking: grid, metrics: metrics.slice(0, 3) },
      nothing,
    );
    expect(decision).toEqual({ allowed: true, metrics: [], masked: [3, 2], withheld: ['age'] });
  });

  it('says nothing of the data in what it refuses, and shows names as plain text', () => {
    const decision = judgeAnswer(open, { ...answer, weight: 123_456 }, nothing);
    expect(JSON.stringify(decision)).not.toContain('123456');
    const odd = judgeAnswer(
      { ...open, tensors: any('w') },
      { ...answer, tensors: [{ name: '\u001b[2J\n', bytes: 1, form: 'f4' }] },
      nothing,
    );
    expect(JSON.stringify(odd)).toContain('?[2J?');
  });

  it('lets nothing out that no rule names, whatever is in it', () => {
    const value = fc.oneof(
      fc.record({ kind: fc.constant('real' as const), value: fc.double() }),
      fc.record({ kind: fc.constant('integer' as const), value: fc.bigInt() }),
      fc.record({ kind: fc.constant('reals' as const), value: fc.array(fc.double()) }),
      fc.record({ kind: fc.constant('text' as const), value: fc.string() }),
    );
    const metrics = fc.array(fc.record({ key: fc.oneof(fc.string(), fc.constant('loss')), value }));
    fc.assert(
      fc.property(metrics, (given) => {
        const decision = judgeAnswer(open, { ...answer, metrics: given }, nothing);
        if (!decision.allowed) throw new Error('metrics are withheld, never a reason to refuse');
        for (const { key, value: left } of decision.metrics) {
          expect(key).toBe('loss');
          expect(Number((left as { value: number | bigint }).value)).toBeGreaterThanOrEqual(0);
          expect(Number((left as { value: number | bigint }).value)).toBeLessThanOrEqual(10);
        }
        expect(decision.metrics.length + decision.withheld.length).toBe(given.length);
      }),
    );
  });
});

describe('a pattern', () => {
  it.each([
    ['a', 'a', true],
    ['a', 'ab', false],
    ['*', '', true],
    ['*', 'anything', true],
    ['a*', 'abc', true],
    ['*c', 'abc', true],
    ['a*c', 'ac', true],
    ['a*a', 'a', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['a.c', 'abc', false],
    ['layer[0]*', 'layer[0].weight', true],
  ])('%s matches %s: %j', (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected);
  });

  it('with stars agrees with the regular expression it stands for', () => {
    const piece = fc.constantFrom('a', 'b', '*');
    fc.assert(
      fc.property(fc.array(piece), fc.array(fc.constantFrom('a', 'b')), (pattern, text) => {
        const expression = new RegExp(`^${pattern.map((one) => (one === '*' ? '.*' : one)).join('')}$`);
        expect(matches(pattern.join(''), text.join(''))).toBe(expression.test(text.join('')));
      }),
    );
  });
});

describe('nodes that are honest in every sum', () => {
  it.each([
    [5, 4, 0, 4],
    [5, 4, 0.2, 3],
    [5, 4, 0.21, 2],
    [3, 3, 1 / 3, 2],
    [10, 3, 0.5, 0],
  ])('%i nodes, %i survivors, a share of %f colludes: %i', (cohort, minSurvivors, colluders, honest) => {
    expect(honestIn({ ...masking, cohort, minSurvivors }, { cohort: 2, survivors: 2, colluders })).toBe(honest);
  });
});
