import { describe, expect, it } from 'vitest';
import { readCapturedPlan } from './captured-plan.ts';
import { buildPlan, taskConfig } from './plan.ts';
import { flag, integer, real, type Scalar, text } from './scalar.ts';

const base = {
  'num-server-rounds': integer(3),
  'aegis.initial-model': text('model:x'),
  'min-available-nodes': integer(20),
  'min-train-nodes': integer(10),
};
const minimal = { 'aegis.privacy.unit': text('node'), 'aegis.privacy.clip': real(0.5) };
const build = (keys: Record<string, Scalar>, dialect: 'message' | 'legacy' = 'message') =>
  buildPlan({
    appId: 'aegis/tiny',
    appConfig: new Map(Object.entries({ ...base, ...keys })),
    overrides: new Map(),
    captured: null,
    detectedDialect: dialect,
  });
const privacyOf = (keys: Record<string, Scalar>) => build({ ...minimal, ...keys }).plan.privacy;
const refusal = (text: string) =>
  expect.objectContaining({ code: 'PLAN_INVALID', message: expect.stringContaining(text) });

describe('the privacy of a plan', () => {
  it('is absent unless asked for', () => {
    expect(build({}).plan).not.toHaveProperty('privacy');
  });

  it('needs a unit and a clip; the rest has defaults', () => {
    expect(privacyOf({})).toEqual({
      unit: 'node',
      epsilon: 1,
      delta: 1e-5,
      dataset: 'default',
      sampling: { kind: 'none' },
      clip: 0.5,
      clipMax: 0.5,
      adaptive: null,
      noiseMultiplier: null,
      weightMax: null,
      denominator: null,
    });
  });

  it('is for a node, or for the user whose node it is', () => {
    expect(privacyOf({ 'aegis.privacy.unit': text('user') })).toMatchObject({ unit: 'user' });
  });

  it('takes every key', () => {
    expect(
      privacyOf({
        'aegis.privacy.epsilon': integer(4),
        'aegis.privacy.delta': real(1e-6),
        'aegis.privacy.dataset': text('wards'),
        'aegis.privacy.partition': text('east'),
        'aegis.privacy.clip-max': real(8),
        'aegis.privacy.adaptive-clip': real(0.7),
        'aegis.privacy.noise-multiplier': real(1.1),
        'aegis.privacy.weight-max': integer(100),
        'aegis.privacy.denominator': integer(12),
        'fraction-train': real(0.25),
        'aegis.selection.sampling': text('poisson'),
      }),
    ).toEqual({
      unit: 'node',
      epsilon: 4,
      delta: 1e-6,
      dataset: 'wards',
      partition: 'east',
      sampling: { kind: 'poisson', rate: 0.25 },
      clip: 0.5,
      clipMax: 8,
      adaptive: { quantile: 0.7, rate: 0.2 },
      noiseMultiplier: 1.1,
      weightMax: 100,
      denominator: 12,
    });
  });

  it('divides by what does not depend on who takes part', () => {
    const poisson = { 'aegis.selection.sampling': text('poisson'), 'fraction-train': real(0.25) };
    expect(privacyOf(poisson)?.denominator).toBe(5);
    const fixed = { 'aegis.selection.sampling': text('fixed'), 'fraction-train': real(0.25) };
    expect(privacyOf(fixed)).toMatchObject({ sampling: { kind: 'fixed', size: 10, population: 20 }, denominator: 10 });
  });

  it('says beforehand what it covers and what it does not', () => {
    expect(build(minimal).notes).toEqual([expect.stringContaining('the promise covers the model only')]);
    const { notes } = build({ ...minimal, 'aegis.selection.sampling': text('poisson'), 'fraction-train': real(0.25) });
    expect(notes).toContainEqual(expect.stringContaining('sums are divided by 5, whoever is'));
  });

  it('lets nodes evaluate only where it says that their metrics travel in the clear', () => {
    const { plan, notes } = build({ ...minimal, 'fraction-evaluate': real(0.5) });
    expect(plan.evaluate.fraction).toBe(0);
    expect(notes[0]).toContain('nodes evaluate nothing');
    const clear = build({ ...minimal, 'fraction-evaluate': real(0.5), 'aegis.privacy.evaluation': text('clear') });
    expect(clear.plan.evaluate.fraction).toBe(0.5);
    expect(clear.notes[0]).toContain('metrics of evaluation, and who is online, travel in the clear');
    expect(build({ 'fraction-evaluate': real(0.5) }).plan.evaluate.fraction).toBe(0.5);
  });

  it('tells nodes that clip by themselves what the clip is', () => {
    const { plan } = build(minimal);
    expect(taskConfig(plan, 'train', 2, { clip: 0.25 })).toEqual([
      { key: 'clipping_norm', value: real(0.25) },
      { key: 'server-round', value: integer(2) },
    ]);
    expect(taskConfig(plan, 'evaluate', 2).map(({ key }) => key)).toEqual(['server-round']);
  });

  it.each<[string, Record<string, Scalar>, string]>([
    [
      'examples as units',
      { ...minimal, 'aegis.privacy.unit': text('example') },
      'one example of a node that has a hundred',
    ],
    ['unknown units', { ...minimal, 'aegis.privacy.unit': text('hospital') }, 'known units: "node"'],
    ['no unit', { 'aegis.privacy.clip': real(1) }, 'aegis.privacy.unit is missing'],
    ['no clip', { 'aegis.privacy.unit': text('node') }, 'aegis.privacy.clip is missing'],
    ['a clip of nothing', { ...minimal, 'aegis.privacy.clip': integer(0) }, 'aegis.privacy.clip is 0; it must be more'],
    ['a clip that is no number', { ...minimal, 'aegis.privacy.clip': text('1') }, 'it must be a number'],
    ['a clip that is NaN', { ...minimal, 'aegis.privacy.clip': real(Number.NaN) }, 'aegis.privacy.clip is NaN'],
    ['a negative ε', { ...minimal, 'aegis.privacy.epsilon': real(-1) }, 'aegis.privacy.epsilon is -1'],
    [
      'δ = 0',
      { ...minimal, 'aegis.privacy.delta': integer(0) },
      'aegis.privacy.delta is 0; it must be between 0 and 1',
    ],
    [
      'δ = 1',
      { ...minimal, 'aegis.privacy.delta': integer(1) },
      'aegis.privacy.delta is 1; it must be between 0 and 1',
    ],
    ['σ = 0', { ...minimal, 'aegis.privacy.noise-multiplier': real(0) }, 'noise-multiplier is 0; it must be more'],
    ['σ of nothing', { ...minimal, 'aegis.privacy.noise-multiplier': real(1e-9) }, 'lost in rounding'],
    ['noise in words', { ...minimal, 'aegis.privacy.noise-multiplier': text('much') }, 'it must be "auto" or a number'],
    [
      'a most below the clip',
      { ...minimal, 'aegis.privacy.clip-max': real(0.1) },
      'is 0.1, less than aegis.privacy.clip = 0.5',
    ],
    ['a quantile of 1', { ...minimal, 'aegis.privacy.adaptive-clip': integer(1) }, 'between 0 and 1'],
    ['a data set without a name', { ...minimal, 'aegis.privacy.dataset': text('') }, 'has 0 characters'],
    ['an evaluation of its own', { ...minimal, 'aegis.privacy.evaluation': text('some') }, 'must be "off" or "clear"'],
    ['a part without a name', { ...minimal, 'aegis.privacy.partition': text('') }, 'has 0 characters'],
    ['an early close', { ...minimal, 'aegis.selection.min-report': integer(3) }, 'lets one unit push out another'],
    ['more nodes than counted', { ...minimal, 'aegis.selection.over-select': real(1.5) }, 'replaces nobody'],
    ['clients without identity', { ...minimal, 'aegis.join': flag(true) }, 'has no budget that it could be charged to'],
    [
      'an unknown sampling',
      { ...minimal, 'aegis.selection.sampling': text('shuffle') },
      '"none", "poisson" or "fixed"',
    ],
    ['sampling without privacy', { 'aegis.selection.sampling': text('poisson') }, 'needs a private run'],
    [
      'a cohort of a fifth of a node',
      {
        ...minimal,
        'aegis.selection.sampling': text('poisson'),
        'fraction-train': real(0.1),
        'min-available-nodes': integer(2),
      },
      'fraction-train × min-available-nodes = 0.1 × 2 = 0.2',
    ],
    ['a key that nobody reads', { ...minimal, 'aegis.privacy.sigma': real(1) }, 'is not a key of ours'],
  ])('refuses %s', (_what, keys, why) => {
    expect(() => build(keys)).toThrow(refusal(why));
  });

  it('is what a wrapper of Flower was set to, where the app had one', () => {
    const captured = {
      plan: readCapturedPlan(
        JSON.stringify({
          ...{ schema: 1, flwr: '1.41.0', 'app-id': 'aegis/tiny', 'app-digest': '', records: 'message' },
          ...{ 'num-server-rounds': 3, 'fraction-train': 1, 'fraction-evaluate': 0, 'min-train-nodes': 2 },
          ...{ 'min-evaluate-nodes': 0, 'min-available-nodes': 2, 'weighted-by-key': 'n', 'arrayrecord-key': 'a' },
          ...{ 'configrecord-key': 'c', strategy: 'fedavg', 'strategy-class': 'x', 'train-config': [] },
          ...{ 'evaluate-config': [], 'initial-model': 'captured', 'left-out': [], 'run-config': {} },
          privacy: { clip: 0.25, 'noise-multiplier': 1.5, denominator: 12, 'adaptive-clip': 0.5 },
        }),
      ),
      modelId: 'm'.repeat(64),
    };
    const sources = { appId: 'aegis/tiny', overrides: new Map(), captured, detectedDialect: 'message' as const };
    const { privacy } = buildPlan({ ...sources, appConfig: new Map([['aegis.privacy.epsilon', real(8)]]) }).plan;
    expect(privacy).toMatchObject({
      ...{ unit: 'node', epsilon: 8, clip: 0.25, noiseMultiplier: 1.5, denominator: 12 },
      adaptive: { quantile: 0.5, rate: 0.2 },
    });
  });

  it('refuses a first model that a node would send in the clear', () => {
    expect(() => build({ ...minimal, 'aegis.initial-model': text('node') }, 'legacy')).toThrow(
      refusal('leaves clipped and noised only'),
    );
  });
});
