import { describe, expect, it } from 'vitest';
import { configOfRound, readCapturedPlan } from './captured-plan.ts';

const captured = (more: Record<string, unknown> = {}) => ({
  schema: 1,
  flwr: '1.41.0',
  'app-id': 'aegis/tiny',
  'app-digest': 'd'.repeat(64),
  records: 'message',
  'num-server-rounds': 3,
  'fraction-train': 1.0,
  'fraction-evaluate': 0.5,
  'min-train-nodes': 2,
  'min-evaluate-nodes': 2,
  'min-available-nodes': 2,
  'weighted-by-key': 'num-examples',
  'arrayrecord-key': 'arrays',
  'configrecord-key': 'config',
  strategy: 'fedavg',
  'strategy-class': 'flwr.serverapp.strategy.fedavg.FedAvg',
  'train-config': [{ round: 0, entries: [{ key: 'lr', type: 'double', value: 0.1 }] }],
  'evaluate-config': [],
  'initial-model': 'captured',
  'left-out': [],
  'run-config': { 'num-server-rounds': 3, lr: 0.1 },
  ...more,
});
const read = (more: Record<string, unknown> = {}) => readCapturedPlan(JSON.stringify(captured(more)));
const refusal = (text: string) =>
  expect.objectContaining({ code: 'PLAN_INVALID', message: expect.stringContaining(text) });

describe('a captured plan', () => {
  it('is read', () => {
    const plan = read();
    expect(plan).toMatchObject({ appId: 'aegis/tiny', rounds: 3, fractionEvaluate: 0.5, initialModel: 'captured' });
    expect(plan.runConfig.get('lr')).toEqual({ kind: 'real', value: 0.1 });
  });

  it('knows what a wrapper for central differential privacy was set to', () => {
    const privacy = { clip: 0.5, 'noise-multiplier': 1.2, denominator: 10, 'adaptive-clip': null };
    expect(read().privacy).toBeNull();
    expect(read({ privacy }).privacy).toEqual({ clip: 0.5, noiseMultiplier: 1.2, denominator: 10, adaptiveClip: null });
    expect(() => read({ privacy: { ...privacy, clip: 0 } })).toThrow(refusal('privacy.clip must be a number above 0'));
    expect(() => read({ privacy: { ...privacy, sigma: 1 } })).toThrow(refusal('privacy.sigma'));
  });

  it.each([
    ['double', 0.5, 'real', 0.5],
    ['double', 'NaN', 'real', Number.NaN],
    ['double', '-Infinity', 'real', Number.NEGATIVE_INFINITY],
    ['sint64', '9007199254740993', 'integer', 9007199254740993n],
    ['sint64', 3, 'integer', 3n],
    ['bool', true, 'flag', true],
    ['string', 'x', 'text', 'x'],
    ['bytes', 'AAE=', 'data', Uint8Array.of(0, 1)],
    ['double_list', [0.5, 1], 'reals', [0.5, 1]],
    ['sint64_list', ['1', '2'], 'integers', [1n, 2n]],
    ['bool_list', [], 'flags', []],
    ['string_list', ['a'], 'texts', ['a']],
    ['bytes_list', ['AA=='], 'datas', [Uint8Array.of(0)]],
  ])('keeps a %s of its config: %o', (type, value, kind, expected) => {
    const plan = read({ 'train-config': [{ round: 0, entries: [{ key: 'k', type, value }] }] });
    expect(plan.trainConfig[0]?.entries).toEqual([{ key: 'k', value: { kind, value: expected } }]);
  });

  it('types the values of the run config where JSON would lose their type', () => {
    const plan = read({ 'run-config': { a: { type: 'double', value: 1 }, b: 1, c: 'x', d: true } });
    expect([...plan.runConfig.values()].map((value) => value.kind)).toEqual(['real', 'integer', 'text', 'flag']);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['another schema', { schema: 2 }, 'schema is 2'],
    ['a missing key', { records: undefined }, 'records is missing'],
    ['an unknown key', { extra: 1 }, 'extra is not a key'],
    ['a wrong dialect', { records: 'both' }, 'records must be "message" or "legacy"'],
    ['no rounds', { 'num-server-rounds': 0 }, 'num-server-rounds must be an integer of 1 or more'],
    ['a broken integer', { 'min-train-nodes': 1.5 }, 'min-train-nodes must be an integer'],
    ['a fraction past 1', { 'fraction-train': 1.5 }, 'fraction-train must be a number from 0 to 1'],
    ['a text that is none', { strategy: 3 }, 'strategy must be a text'],
    ['a config that is no list', { 'train-config': {} }, 'train-config must be a list'],
    [
      'an unknown type',
      { 'train-config': [{ round: 0, entries: [{ key: 'k', type: 'float', value: 1 }] }] },
      'train-config[0].entries[0].type is "float"',
    ],
    [
      'a value of another type',
      { 'train-config': [{ round: 0, entries: [{ key: 'k', type: 'double', value: 'x' }] }] },
      'must be a double',
    ],
    ['an unknown key inside', { 'train-config': [{ round: 0, entries: [], x: 1 }] }, 'train-config[0].x is not a key'],
    [
      'a round twice',
      {
        'train-config': [
          { round: 1, entries: [] },
          { round: 1, entries: [] },
        ],
      },
      'train-config[1].round is 1, which is there twice',
    ],
    ['a run config with a list', { 'run-config': { a: [1] } }, 'run-config.a must be'],
  ])('is refused with %s', (_what, more, text) => expect(() => read(more)).toThrow(refusal(text)));

  it('is refused when it is not JSON', () => expect(() => readCapturedPlan('{')).toThrow(refusal('not JSON')));
  it('is refused when it is not a table', () =>
    expect(() => readCapturedPlan('[]')).toThrow(refusal('must be a table')));
});

describe('the config of a round', () => {
  const item = (round: number) => ({
    round,
    entries: [{ key: String(round), value: { kind: 'flag', value: true } as const }],
  });
  const keyOf = (rounds: number[], round: number) => configOfRound(rounds.map(item), round)[0]?.key;

  it.each([
    [[0], 5, '0'],
    [[1, 2, 3], 2, '2'],
    [[1, 2, 3], 7, '3'],
    [[], 1, undefined],
  ])('of a schedule for rounds %o in round %i is that of round %s', (rounds, round, expected) =>
    expect(keyOf(rounds, round)).toBe(expected),
  );
});
