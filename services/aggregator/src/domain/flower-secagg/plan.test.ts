import { describe, expect, it } from 'vitest';
import { readCapturedPlan } from '../captured-plan.ts';
import { buildPlan } from '../plan.ts';
import { type FlatConfig, integer, real, type Scalar, text } from '../scalar.ts';
import { FLOWER_SECAGG_LIMITS } from './plan.ts';

const config = (entries: Record<string, Scalar>): FlatConfig => new Map(Object.entries(entries));
const needed = {
  'num-server-rounds': integer(2),
  'aegis.initial-model': text('model:x'),
  'aegis.records': text('legacy'),
  'min-train-nodes': integer(4),
  'min-available-nodes': integer(4),
  'aegis.secagg.mode': text('flower'),
  'aegis.secagg.reconstruction-threshold': real(0.5),
};
const build = (
  more: Record<string, Scalar | undefined> = {},
  captured: Parameters<typeof buildPlan>[0]['captured'] = null,
) => {
  const given = Object.entries({ ...needed, ...more }).filter(([, value]) => value !== undefined);
  return buildPlan({
    appId: 'aegis/tiny',
    appConfig: config(Object.fromEntries(given) as Record<string, Scalar>),
    overrides: config({}),
    captured,
    detectedDialect: 'legacy',
  });
};

describe("a plan with Flower's SecAgg+", () => {
  it("has Flower's defaults, and says what it does not protect against", () => {
    const { plan, notes } = build();
    expect(plan.flowerSecagg).toEqual({
      settings: {
        numShares: { fraction: 1 },
        reconstructionThreshold: { fraction: 0.5 },
        maxWeight: 1000,
        clippingRange: 8,
        targetRange: 2 ** 22,
        modRange: 2 ** 32,
      },
      stageSeconds: 120,
    });
    expect(plan.secagg).toBeUndefined();
    for (const limit of FLOWER_SECAGG_LIMITS) expect(notes.join('\n')).toContain(limit);
  });

  it('takes numbers of nodes as well as fractions', () => {
    const { plan } = build({
      'aegis.secagg.num-shares': integer(3),
      'aegis.secagg.reconstruction-threshold': integer(2),
      'aegis.secagg.max-weight': integer(200),
      'aegis.secagg.stage-seconds': real(7.5),
    });
    expect(plan.flowerSecagg?.settings).toMatchObject({
      numShares: { count: 3 },
      reconstructionThreshold: { count: 2 },
      maxWeight: 200,
    });
    expect(plan.flowerSecagg?.stageSeconds).toBe(7.5);
  });

  it.each<[string, Record<string, Scalar | undefined>, RegExp]>([
    ['a threshold that nobody gave', { 'aegis.secagg.reconstruction-threshold': undefined }, /threshold is missing/],
    ['a fraction of nothing', { 'aegis.secagg.num-shares': real(0) }, /num-shares is 0; as a fraction/],
    ['more than all', { 'aegis.secagg.num-shares': real(1.5) }, /num-shares is 1.5; it must be from 0 to 1/],
    ['no power of two', { 'aegis.secagg.modulus-range': integer(1000) }, /must be a power of two/],
    ['no clip', { 'aegis.secagg.clipping-range': real(0) }, /clipping-range is 0; it must be more than 0/],
    [
      'more shares needed than there are',
      { 'aegis.secagg.reconstruction-threshold': integer(5) },
      /as few as 4 nodes: A secret needs 5 shares/,
    ],
    ['a modulus without room', { 'aegis.secagg.modulus-range': integer(2 ** 23) }, /do not fit below a modulus/],
    [
      'a cohort of one',
      { 'min-train-nodes': integer(1), 'min-available-nodes': integer(1) },
      /as few as 1 nodes: The cohort has one node/,
    ],
    ['settings of guards', { 'aegis.secagg.value-bits': integer(16) }, /value-bits says how guards mask/],
    ['message records', { 'aegis.records': text('message') }, /records of legacy apps only/],
    [
      'clients without identity',
      { 'aegis.join': { kind: 'flag', value: true } },
      /aegis\.join is true, and aegis\.secagg\.mode is "flower"/,
    ],
    ['nodes that are not waited for', { 'aegis.selection.over-select': real(1.5) }, /over-select is 1.5/],
    ['answers that are not waited for', { 'aegis.selection.min-report': integer(3) }, /min-report has no place/],
    [
      'a private run',
      {
        'aegis.privacy.epsilon': real(1),
        'aegis.privacy.dataset': text('d'),
        'aegis.privacy.unit': text('node'),
        'aegis.privacy.clip': real(1),
      },
      /the run is private/,
    ],
    ['another strategy', { 'aegis.strategy': text('krum') }, /known strategies: "fedavg"/],
    ["Flower's settings with guards", { 'aegis.secagg.mode': text('aegis') }, /is a setting of Flower's SecAgg\+, but/],
    ["Flower's settings without masks", { 'aegis.secagg.mode': text('off') }, /mode is "off"/],
    ['a mode that there is not', { 'aegis.secagg.mode': text('on') }, /it must be "off", "aegis" or "flower"/],
  ])('refuses %s, in words', (_, more, why) => {
    expect(() => build(more)).toThrow(why);
  });

  const captured = {
    modelId: 'm'.repeat(64),
    plan: readCapturedPlan(
      JSON.stringify({
        ...{ schema: 1, flwr: '1.41.0', 'app-id': 'aegis/tiny', 'app-digest': '', records: 'legacy' },
        ...{ 'num-server-rounds': 3, 'fraction-train': 1, 'fraction-evaluate': 1, 'min-train-nodes': 3 },
        ...{ 'min-evaluate-nodes': 1, 'min-available-nodes': 4, 'weighted-by-key': 'num-examples' },
        ...{ 'arrayrecord-key': 'a', 'configrecord-key': 'c', strategy: 'fedavg', 'strategy-class': 'x.FedAvg' },
        ...{ 'train-config': [], 'evaluate-config': [], 'initial-model': 'captured', 'left-out': [], 'run-config': {} },
        secagg: [
          { key: 'num-shares', type: 'double', value: 1 },
          { key: 'reconstruction-threshold', type: 'sint64', value: '3' },
          { key: 'max-weight', type: 'sint64', value: '200' },
        ],
      }),
    ),
  };
  const unsaid = { 'aegis.secagg.mode': undefined, 'aegis.secagg.reconstruction-threshold': undefined };

  it('has what was captured of the app, which turns it on', () => {
    const { plan } = build(unsaid, captured);
    expect(plan.flowerSecagg?.settings).toMatchObject({
      numShares: { fraction: 1 },
      reconstructionThreshold: { count: 3 },
      maxWeight: 200,
    });
    expect(
      build({ ...unsaid, 'aegis.secagg.max-weight': integer(50) }, captured).plan.flowerSecagg?.settings,
    ).toMatchObject({
      maxWeight: 50,
    });
  });

  it('leaves what was captured when the run says otherwise', () => {
    const { plan } = build({ ...unsaid, 'aegis.secagg.mode': text('off') }, captured);
    expect([plan.flowerSecagg, plan.secagg]).toEqual([undefined, undefined]);
    expect(build({ ...unsaid, 'aegis.secagg.mode': text('aegis') }, captured).plan.secagg?.mode).toBe('aegis');
  });
});
