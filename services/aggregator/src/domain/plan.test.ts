import { describe, expect, it } from 'vitest';
import { readCapturedPlan } from './captured-plan.ts';
import { buildPlan, configCarriesPlan, overridesForNodes, type PlanSources, taskConfig } from './plan.ts';
import { integer, real, type Scalar, text } from './scalar.ts';

const config = (entries: Record<string, Scalar> = {}) => new Map(Object.entries(entries));
const capture = (more: Record<string, unknown> = {}) => ({
  plan: readCapturedPlan(
    JSON.stringify({
      schema: 1,
      flwr: '1.41.0',
      'app-id': 'aegis/tiny',
      'app-digest': '',
      records: 'message',
      'num-server-rounds': 3,
      'fraction-train': 0.5,
      'fraction-evaluate': 0.25,
      'min-train-nodes': 3,
      'min-evaluate-nodes': 1,
      'min-available-nodes': 4,
      'weighted-by-key': 'weight',
      'arrayrecord-key': 'a',
      'configrecord-key': 'c',
      strategy: 'fedavg',
      'strategy-class': 'x.FedAvg',
      'train-config': [{ round: 0, entries: [{ key: 'lr', type: 'double', value: 0.1 }] }],
      'evaluate-config': [],
      'initial-model': 'captured',
      'left-out': [],
      'run-config': { 'num-server-rounds': 3, lr: 0.1, epochs: 2 },
      ...more,
    }),
  ),
  modelId: 'm'.repeat(64),
});
const byKeys = { 'num-server-rounds': integer(2), 'aegis.initial-model': text('model:x') };
const build = (sources: Partial<PlanSources> = {}) =>
  buildPlan({
    appId: 'aegis/tiny',
    appConfig: config(byKeys),
    overrides: config(),
    captured: null,
    detectedDialect: 'message',
    ...sources,
  });
const withKeys = (more: Record<string, Scalar>) => () => build({ appConfig: config({ ...byKeys, ...more }) });
const refusal = (text: string, code = 'PLAN_INVALID') =>
  expect.objectContaining({ code, message: expect.stringContaining(text) });

describe('a plan from keys alone', () => {
  it("has Flower's defaults", () => {
    expect(build().plan).toEqual({
      strategy: 'fedavg',
      rounds: 2,
      layout: {
        dialect: 'message',
        weightedByKey: 'num-examples',
        arrayRecordKey: 'arrays',
        configRecordKey: 'config',
      },
      train: { fraction: 1, minNodes: 2, minAvailable: 2, overSelect: 1 },
      evaluate: { fraction: 1, minNodes: 2, minAvailable: 2, overSelect: 1, every: 1 },
      minReport: null,
      deadlineSeconds: 600,
      trainConfig: [{ round: 0, entries: [] }],
      evaluateConfig: [{ round: 0, entries: [] }],
      initialModel: { from: 'named', name: 'x' },
      join: false,
    });
  });

  it('takes every key', () => {
    const { plan } = withKeys({
      'fraction-train': real(0.5),
      'fraction-evaluate': integer(0),
      'min-train-nodes': integer(4),
      'min-evaluate-nodes': integer(0),
      'min-available-nodes': integer(8),
      'weighted-by-key': text('n'),
      'aegis.records': text('legacy'),
      'aegis.strategy': text('fedavg'),
      'aegis.selection.over-select': real(1.5),
      'aegis.selection.min-report': integer(5),
      'aegis.selection.deadline': integer(30),
      'aegis.evaluate.every': integer(2),
      'aegis.join': { kind: 'flag', value: true },
      'aegis.train-config.lr': real(0.1),
      'aegis.train-config.nested.key': integer(1),
      'aegis.evaluate-config.batch': integer(8),
    })();
    expect(plan).toMatchObject({
      train: { fraction: 0.5, minNodes: 4, minAvailable: 8, overSelect: 1.5 },
      evaluate: { fraction: 0, every: 2, overSelect: 1 },
      minReport: 5,
      deadlineSeconds: 30,
      join: true,
      layout: { dialect: 'legacy', weightedByKey: 'n' },
    });
    expect(plan.trainConfig[0]?.entries.map((entry) => entry.key)).toEqual(['lr', 'nested.key']);
    expect(plan.evaluateConfig[0]?.entries).toEqual([{ key: 'batch', value: integer(8) }]);
  });

  it('is carried by the initial model key, in the app or in the run', () => {
    expect(configCarriesPlan(config(byKeys), config())).toBe(true);
    expect(configCarriesPlan(config(), config({ 'aegis.initial-model': text('node') }))).toBe(true);
    expect(configCarriesPlan(config({ 'num-server-rounds': integer(1) }), config())).toBe(false);
  });

  it.each<[string, Record<string, Scalar>, string]>([
    [
      'a misspelled key',
      { 'aegis.selection.deadlin': integer(3) },
      'aegis.selection.deadlin is not a key of ours; the nearest is "aegis.selection.deadline"',
    ],
    ['a key that is only a table', { 'aegis.train-config': integer(3) }, 'nearest is "aegis.train-config.KEY"'],
    [
      'an unknown strategy',
      { 'aegis.strategy': text('fedprox') },
      'aegis.strategy is "fedprox"; known strategies: "fedavg"',
    ],
    ['an unknown dialect', { 'aegis.records': text('both') }, 'aegis.records is "both"'],
    ['rounds of another type', { 'num-server-rounds': real(2.5) }, 'num-server-rounds is 2.5; it must be an integer'],
    ['no rounds to run', { 'num-server-rounds': integer(0) }, 'num-server-rounds is 0; it must be from 1'],
    ['a fraction past 1', { 'fraction-train': real(1.5) }, 'fraction-train is 1.5; it must be from 0 to 1'],
    ['a negative minimum', { 'min-train-nodes': integer(-1) }, 'min-train-nodes is -1'],
    ['a text for a number', { 'fraction-train': text('all') }, 'fraction-train is "all"; it must be a number'],
    ['nobody to train', { 'fraction-train': integer(0) }, 'fraction-train is 0: no node would ever train'],
    [
      'nobody selected',
      { 'min-train-nodes': integer(0), 'fraction-train': real(0.3), 'min-available-nodes': integer(2) },
      '0.3 × 2 rounds down to 0',
    ],
    [
      'an impossible number of reports',
      { 'aegis.selection.min-report': integer(3) },
      'min-report is 3, but a round may select as few as 2 nodes: max(int(2 × 1), 2) = 2',
    ],
    [
      'an impossible number even with over-selection',
      {
        'aegis.selection.min-report': integer(5),
        'aegis.selection.over-select': real(1.5),
        'min-available-nodes': integer(9),
        'fraction-train': real(0.3),
      },
      'max(int(9 × 0.3), 2) = 2, × over-select 1.5 of at most 9 online = 3',
    ],
    [
      'over-selection below 1',
      { 'aegis.selection.over-select': real(0.5) },
      'over-select is 0.5; it must be from 1 to 10',
    ],
    ['no time', { 'aegis.selection.deadline': integer(0) }, 'deadline is 0'],
    ['a word for a flag', { 'aegis.join': text('yes') }, 'aegis.join is "yes"; it must be true or false'],
    ['evaluation every 0 rounds', { 'aegis.evaluate.every': integer(0) }, 'every is 0'],
    ['a node as source for a message app', { 'aegis.initial-model': text('node') }, 'only legacy apps'],
    ['a file of no format', { 'aegis.initial-model': text('file:init.pt') }, 'must end in .npz or .safetensors'],
    ['a source that is none', { 'aegis.initial-model': text('zeros') }, 'aegis.initial-model is "zeros"; it must be'],
    ['a run that is none', { 'aegis.initial-model': text('run:abc@1') }, 'is "run:abc@1"'],
  ])('is refused with %s', (_what, keys, text) => expect(withKeys(keys)).toThrow(refusal(text)));

  it('needs the rounds', () => {
    expect(() => build({ appConfig: config({ 'aegis.initial-model': text('model:x') }) })).toThrow(
      refusal('num-server-rounds is missing'),
    );
  });
  it('needs a word when the source does not show the dialect', () => {
    expect(() => build({ detectedDialect: null })).toThrow(refusal('aegis.records is needed'));
    expect(
      build({ detectedDialect: null, overrides: config({ 'aegis.records': text('legacy') }) }).plan.layout.dialect,
    ).toBe('legacy');
  });
  it('has no imported model to start from', () => {
    expect(withKeys({ 'aegis.initial-model': text('imported') })).toThrow(
      refusal('aegis app import <DIR>', 'PLAN_MISSING'),
    );
  });

  it.each([
    ['file:init.npz', { from: 'file', path: 'init.npz' }],
    ['file:sub/m.safetensors', { from: 'file', path: 'sub/m.safetensors' }],
    ['model:my model', { from: 'named', name: 'my model' }],
    ['run:18446744073709551615@12', { from: 'run', runId: 18446744073709551615n, round: 12 }],
  ])('starts from %s', (value, expected) => {
    expect(withKeys({ 'aegis.initial-model': text(value) })().plan.initialModel).toEqual(expected);
  });
  it('asks a node when a legacy app says so', () => {
    const keys = { ...byKeys, 'aegis.initial-model': text('node') };
    expect(build({ appConfig: config(keys), detectedDialect: 'legacy' }).plan.initialModel).toEqual({ from: 'node' });
  });
  it('trains without a fraction in legacy apps, as Flower does there', () => {
    const keys = { ...byKeys, 'fraction-train': integer(0) };
    expect(build({ appConfig: config(keys), detectedDialect: 'legacy' }).plan.train.fraction).toBe(0);
  });
});

describe('a plan from an imported app', () => {
  const imported = (
    overrides: Record<string, Scalar> = {},
    more: Record<string, unknown> = {},
    appConfig: Record<string, Scalar> = {},
  ) =>
    build({
      appConfig: config({ 'num-server-rounds': integer(9), lr: real(0.1), epochs: integer(2), ...appConfig }),
      overrides: config(overrides),
      captured: capture(more),
      detectedDialect: null,
    });

  it('does what was captured, whatever the config says', () => {
    const { plan, notes } = imported();
    expect(plan).toMatchObject({
      rounds: 3,
      layout: { dialect: 'message', weightedByKey: 'weight', arrayRecordKey: 'a', configRecordKey: 'c' },
      train: { fraction: 0.5, minNodes: 3, minAvailable: 4 },
      evaluate: { fraction: 0.25, minNodes: 1 },
      initialModel: { from: 'model', modelId: 'm'.repeat(64) },
    });
    expect(plan.trainConfig).toEqual([{ round: 0, entries: [{ key: 'lr', value: real(0.1) }] }]);
    expect(notes).toEqual([]);
  });

  it('lets the run override what Flower has a name for', () => {
    const { plan, notes } = imported({ 'num-server-rounds': integer(1), 'min-train-nodes': integer(1) });
    expect([plan.rounds, plan.train.minNodes]).toEqual([1, 1]);
    expect(notes).toEqual([]);
  });

  it('sends the overridden value of a captured key, in the captured type, and says so', () => {
    const { plan, notes } = imported({ lr: integer(1) });
    expect(plan.trainConfig[0]?.entries).toEqual([{ key: 'lr', value: real(1) }]);
    expect(notes).toEqual(['lr is 1 in this run, 0.1 when the app was imported; the nodes are sent the new value.']);
  });

  it('says what it cannot know when another key is overridden', () => {
    const { notes } = imported({ epochs: integer(5) });
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain(
      'epochs is 5 in this run, 2 when the app was imported; what the ServerApp made of it stays as imported',
    );
    expect(notes[0]).toContain('--run-config "epochs=');
  });

  it('says nothing of an override that changes nothing', () => {
    expect(imported({ epochs: integer(2), lr: real(0.1) }).notes).toEqual([]);
  });

  it('refuses an override of another type', () => {
    expect(() => imported({ lr: text('fast') })).toThrow(refusal('lr is overridden by "fast", but the app sends 0.1'));
  });
  it('refuses an override that nothing reads', () => {
    expect(() => imported({ epoch: integer(2) })).toThrow(
      refusal('epoch is set for this run, but the app\'s config does not have it; the nearest is "epochs"'),
    );
  });
  it('refuses a strategy it does not have, by class', () => {
    expect(() => imported({}, { strategy: 'fedadam', 'strategy-class': 'flwr.FedAdam' })).toThrow(
      refusal('"fedadam" (imported: flwr.FedAdam)'),
    );
  });

  it('refuses to weigh by a metric without a name', () => {
    expect(() => imported({ 'weighted-by-key': text('') })).toThrow(refusal('weighted-by-key is ""'));
  });

  it('asks a node where the capture found no arrays', () => {
    expect(imported({}, { 'initial-model': 'node', records: 'legacy' }).plan.initialModel).toEqual({ from: 'node' });
  });
  it('starts from another model when told so', () => {
    expect(imported({ 'aegis.initial-model': text('run:7@3') }).plan.initialModel).toEqual({
      from: 'run',
      runId: 7n,
      round: 3,
    });
  });
  it('adds our own config keys last', () => {
    const { plan } = imported({ 'aegis.train-config.lr': real(9), 'aegis.train-config.x': integer(1) });
    expect(plan.trainConfig[0]?.entries).toEqual([
      { key: 'lr', value: real(9) },
      { key: 'x', value: integer(1) },
    ]);
  });
  it('tells what was left out', () =>
    expect(imported({}, { 'left-out': ['evaluate_fn'] }).notes).toEqual(['left out in native mode: evaluate_fn']));
});

describe('the config of a task', () => {
  const varying = {
    'train-config': [1, 2].map((round) => ({ round, entries: [{ key: 'lr', type: 'double', value: round / 10 }] })),
  };
  const of = (records: 'message' | 'legacy') =>
    build({ captured: capture({ ...varying, records }), appConfig: config({ lr: real(1) }) }).plan;

  it('has the round of a message app, as an integer, after what was captured', () => {
    expect(taskConfig(of('message'), 'train', 2)).toEqual([
      { key: 'lr', value: real(0.2) },
      { key: 'server-round', value: integer(2) },
    ]);
    expect(taskConfig(of('message'), 'evaluate', 1)).toEqual([{ key: 'server-round', value: integer(1) }]);
  });
  it('is exactly what was captured for a legacy app', () => {
    expect(taskConfig(of('legacy'), 'train', 1)).toEqual([{ key: 'lr', value: real(0.1) }]);
    expect(taskConfig(of('legacy'), 'initial-model', 0)).toEqual([]);
  });
});

describe('the overrides for nodes', () => {
  it('are those that the app knows, and never ours', () => {
    const appConfig = config({ lr: real(1), 'aegis.strategy': text('fedavg') });
    const overrides = config({ lr: real(2), 'num-server-rounds': integer(3), 'aegis.strategy': text('fedavg') });
    expect(overridesForNodes(appConfig, overrides)).toEqual([{ key: 'lr', value: real(2) }]);
  });
});
