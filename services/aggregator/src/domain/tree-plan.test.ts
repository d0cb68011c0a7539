import { describe, expect, it } from 'vitest';
import { buildPlan } from './plan.ts';
import { plannedEvent } from './private-round.ts';
import { flag, integer, real, type Scalar, text } from './scalar.ts';
import {
  afterRound,
  type Participation,
  samplingOfTree,
  tooFewLeft,
  treeRound,
  treesOf,
  wornOut,
} from './tree-plan.ts';

const base = {
  'num-server-rounds': integer(10),
  'aegis.initial-model': text('model:x'),
  'min-available-nodes': integer(20),
  'min-train-nodes': integer(2),
  'fraction-train': real(0.1),
  'aegis.privacy.unit': text('node'),
  'aegis.privacy.clip': real(0.5),
};
const tree = { 'aegis.privacy.mechanism': text('tree') };
const build = (keys: Record<string, Scalar>) =>
  buildPlan({
    appId: 'aegis/tiny',
    appConfig: new Map(Object.entries({ ...base, ...keys })),
    overrides: new Map(),
    captured: null,
    detectedDialect: 'message',
  });
const treeOf = (keys: Record<string, Scalar>) => build({ ...tree, ...keys }).plan.privacy?.tree;

describe('a plan with tree noise', () => {
  it('has one tree over all rounds, and a cohort of one size that sums are divided by', () => {
    const { plan, notes } = build(tree);
    expect(plan.privacy).toMatchObject({
      tree: { restartEvery: 10, maxParticipations: 1, cohort: 2 },
      denominator: 2,
      sampling: { kind: 'none' },
    });
    expect(notes).toContainEqual(
      'noise of one tree: 2 units are asked in each round, none of them twice in a tree or more than once in all; 20 units are needed',
    );
    expect(build({}).plan.privacy).not.toHaveProperty('tree');
    expect(build({ 'aegis.privacy.mechanism': text('gaussian') }).plan.privacy).not.toHaveProperty('tree');
  });

  it('begins a tree anew for each time that a unit may take part, unless told when', () => {
    expect(treeOf({ 'aegis.privacy.max-participations': integer(3) })).toMatchObject({ restartEvery: 3 });
    const told = { 'aegis.privacy.max-participations': integer(2), 'aegis.privacy.tree-restart-every': integer(4) };
    const found = treeOf(told) ?? expect.fail('no tree');
    expect(treesOf(found, 10)).toEqual([4, 4, 2]);
    expect([1, 4, 5, 10].map((round) => treeRound(found, round)).map((at) => [at.tree, at.leaf])).toEqual([
      [0, 1],
      [0, 4],
      [1, 1],
      [2, 2],
    ]);
  });

  it('is one event for all rounds, whatever is asked for', () => {
    const { plan } = build({
      ...tree,
      'aegis.privacy.tree-restart-every': integer(4),
      'aegis.privacy.unit': text('user'),
    });
    const privacy = plan.privacy ?? expect.fail('not private');
    const event = plannedEvent({ ...plan, privacy: { ...privacy, noiseMultiplier: 3 } }, 1);
    expect(event).toBe(plannedEvent({ ...plan, privacy: { ...privacy, noiseMultiplier: 3 } }, 10));
    expect(JSON.parse(event)).toEqual({
      mechanism: 'tree',
      steps: [4, 4, 2],
      epochs: 1,
      'noise-multiplier': 3,
      sampling: { kind: 'none' },
      relation: 'zero-out',
      count: 1,
      unit: 'user',
    });
  });

  it.each([
    [{ 'aegis.privacy.mechanism': text('laplace') }, /mechanism is "laplace"; it must be "gaussian" or "tree"/],
    [
      { ...tree, 'aegis.selection.sampling': text('poisson') },
      /sampling is set, but .* gains nothing by secret cohorts/,
    ],
    [{ ...tree, 'aegis.privacy.adaptive-clip': flag(true) }, /adaptive-clip is set, but .* made for their clip/],
    [{ ...tree, 'aegis.privacy.max-participations': integer(11) }, /is 11, but there are 10 rounds/],
    [
      {
        ...tree,
        'aegis.privacy.max-participations': integer(3),
        'aegis.privacy.tree-restart-every': integer(5),
      },
      /10 rounds in trees of 5 are 2 of them: set aegis\.privacy\.tree-restart-every = 3, or less/,
    ],
    [
      { ...tree, 'num-server-rounds': integer(5000), 'aegis.privacy.tree-restart-every': integer(1) },
      /5000 trees, and at most 500/,
    ],
    [{ 'aegis.privacy.max-participations': integer(1) }, /only aegis\.privacy\.mechanism = "tree"/],
    [{ 'aegis.privacy.tree-restart-every': integer(1) }, /only aegis\.privacy\.mechanism = "tree"/],
    [{ ...tree, 'aegis.secagg.mode': text('aegis') }, /mechanism is "tree", and .* sees no sum without noise/],
  ] as const)('refuses %o', (keys, message) => {
    expect(() => build(keys)).toThrow(message);
  });
});

describe('who may take part', () => {
  const plan = { restartEvery: 2, maxParticipations: 2, cohort: 1 };
  const none: Participation = new Map();

  it('is asked once in a tree, and so often in all', () => {
    const after1 = afterRound(none, treeRound(plan, 1), ['a', 'b']);
    expect([...wornOut(treeRound(plan, 2), after1)]).toEqual(['a', 'b']);
    expect([...wornOut(treeRound(plan, 3), after1)]).toEqual([]);
    const after3 = afterRound(after1, treeRound(plan, 3), ['a', 'a']);
    expect(after3.get('a')).toEqual({ times: 2, tree: 1 });
    expect([...wornOut(treeRound(plan, 5), after3)]).toEqual(['a']);
  });

  it('is out as soon as asked, before the round has ended', () => {
    expect([...wornOut(treeRound(plan, 1), none, ['c'])]).toEqual(['c']);
  });

  it('is a cohort of the same size in every round, of as many as the plan waits for at first', () => {
    const train = { fraction: 0.5, minNodes: 1, minAvailable: 9, overSelect: 1 };
    expect([1, 2].map((round) => samplingOfTree({ ...plan, cohort: 4 }, train, round))).toEqual([
      { fraction: 0, minNodes: 4, minAvailable: 9, overSelect: 1 },
      { fraction: 0, minNodes: 4, minAvailable: 4, overSelect: 1 },
    ]);
  });

  it('is told, where too few are left, what would fit', () => {
    const round = treeRound({ restartEvery: 4, maxParticipations: 1, cohort: 2 }, 3);
    expect(tooFewLeft(round, { fresh: 1, online: 5 })).toBe(
      '1 of the 5 units online may still take part and 2 are needed: a unit is asked once, and this is round 3 of a tree of 4. ' +
        '5 units fill trees of 2 rounds with 2 in each: enrol 8 for this plan, lower min-train-nodes, or set aegis.privacy.tree-restart-every = 2 and raise aegis.privacy.max-participations',
    );
  });
});
