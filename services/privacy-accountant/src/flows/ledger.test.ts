import { describe, expect, it } from 'vitest';
import { MemoryPlace } from '../store/memory/index.ts';
import { asked, gaussian, policyOf, startWorld, unit } from '../testing/world.ts';
import { listBudgets, setBudget } from './budgets.ts';
import { commit } from './commit.ts';
import { plan } from './plan.ts';
import { release } from './release.ts';
import { type Granted, reserve } from './reserve.ts';
import { spent } from './spent.ts';
import { verify } from './verify.ts';

type World = Awaited<ReturnType<typeof startWorld>>;
const granted = async (world: World, ask: Parameters<typeof reserve>[1]): Promise<Granted> => {
  const answer = await reserve(world.ground, ask);
  if ('refused' in answer) throw new Error(answer.refused.detail);
  return answer.granted;
};
const refused = async (world: World, ask: Parameters<typeof reserve>[1]) => {
  const answer = await reserve(world.ground, ask);
  if ('granted' in answer) throw new Error('it was granted');
  return answer.refused;
};
const done = (id: string, changes = {}) => ({ id, events: [], result: 'model', inTheClear: [], ...changes });
const usedOf = async (world: World, kind: 'run' | 'dataset' | 'unit', name: string) =>
  (await spent(world.ground, [{ kind, name }]))[0]?.used ?? 0;

describe('reserving', () => {
  it('counts as spent at once, in run, data set and unit', async () => {
    const world = await startWorld();
    const { balances } = await granted(world, asked(1n, 1));
    expect(balances.map(({ scope, epsilon }) => [scope.kind, epsilon > 0])).toEqual([
      ['run', true],
      ['dataset', true],
      ['unit', true],
    ]);
    expect(await usedOf(world, 'unit', unit(3))).toBeGreaterThan(0);
    expect(await usedOf(world, 'unit', unit(4))).toBe(0);
  });

  it('gives the same reservation for the same key and content, in whatever order, and counts it once', async () => {
    const world = await startWorld();
    const first = await granted(world, asked(1n, 1));
    const used = await usedOf(world, 'dataset', 'ward');
    const again = await granted(world, asked(1n, 1, { units: [3, 1, 2].map(unit) }));
    expect(again.reservation.id).toBe(first.reservation.id);
    expect(await usedOf(world, 'dataset', 'ward')).toBe(used);
  });

  it.each([
    ['events', { events: [gaussian(9)] }],
    ['units', { units: [unit(1)] }],
    ['policy', { policy: policyOf(2n) }],
  ])('refuses a key that comes with other %s', async (_what, changes) => {
    const world = await startWorld();
    await granted(world, asked(1n, 1));
    await expect(reserve(world.ground, asked(1n, 1, changes))).rejects.toMatchObject({ code: 'PRIVACY_KEY_CONFLICT' });
  });

  it('stops hard, and says what is spent, what was asked and what would fit', async () => {
    const world = await startWorld();
    let round = 0;
    for (;;) {
      round += 1;
      const answer = await reserve(world.ground, asked(1n, round));
      if ('refused' in answer) {
        const { code, detail, shortfalls, fits } = answer.refused;
        expect(code).toBe('PRIVACY_BUDGET_EXHAUSTED');
        expect(shortfalls.map(({ scope }) => scope.kind)).toEqual(['run', 'dataset', 'unit']);
        expect(detail).toMatch(
          /epsilon 0\.\d+ of 1 \(delta 0\.00001\) is spent, \d+ % is left; with what was asked it would be 1\.\d+/,
        );
        expect(fits.count).toBe(0);
        // what it says would fit, fits
        const fitting = await granted(world, asked(1n, round, { events: [gaussian(fits.noise)] }));
        expect(fitting.balances.every(({ used }) => used <= 1)).toBe(true);
        break;
      }
    }
    expect(round).toBeGreaterThan(3);
    expect((await verify(world.ground)).findings).toEqual([]);
  });

  it('lets exactly one of two runs have the last slice', async () => {
    const world = await startWorld();
    await setBudget(world.ground, { scope: { kind: 'run', name: '' }, epsilon: 100, delta: null, addPartitions: [] });
    const large = { events: [gaussian(5)] };
    await granted(world, asked(1n, 1, large));
    const rivals = await Promise.all(
      [2n, 3n, 4n, 5n].map((run) => reserve(world.ground, asked(run, 1, { ...large, policy: policyOf(run) }))),
    );
    expect(rivals.filter((answer) => 'granted' in answer)).toHaveLength(fitting(5) - 1);
    expect(await usedOf(world, 'dataset', 'ward')).toBeLessThanOrEqual(1);
  });

  it.each([
    ['no unit', { units: [] }, 'PRIVACY_UNITS'],
    ['a unit twice', { units: [unit(1), unit(1)] }, 'PRIVACY_UNITS'],
    ['a name that is no pseudonym', { units: ['Ada Lovelace'] }, 'PRIVACY_UNITS'],
    ['no event', { events: [] }, 'PRIVACY_EVENT_INVALID'],
    ['what is no JSON', { events: ['{'] }, 'PRIVACY_EVENT_INVALID'],
    [
      'a count of 0',
      { events: ['{"mechanism":"gaussian","noise-multiplier":1,"relation":"zero-out","count":0}'] },
      'PRIVACY_EVENT_INVALID',
    ],
    [
      'an absurd count',
      { events: ['{"mechanism":"gaussian","noise-multiplier":1,"relation":"zero-out","count":1e300}'] },
      'PRIVACY_EVENT_INVALID',
    ],
    [
      'a mechanism nobody knows',
      { events: ['{"mechanism":"rot13","noise-multiplier":1,"relation":"zero-out"}'] },
      'PRIVACY_EVENT_INVALID',
    ],
    ['no noise', { events: ['{"mechanism":"gaussian","relation":"zero-out"}'] }, 'PRIVACY_EVENT_INVALID'],
    [
      'two relations',
      { events: [gaussian(9), '{"mechanism":"gaussian","noise-multiplier":9,"relation":"zero-out"}'] },
      'PRIVACY_EVENT_INVALID',
    ],
    [
      'another unit than the policy’s',
      { events: ['{"mechanism":"gaussian","noise-multiplier":1,"relation":"zero-out","unit":"user"}'] },
      'PRIVACY_EVENT_INVALID',
    ],
    ['examples', { policy: policyOf(1n, { unit: 'example' }) }, 'PRIVACY_UNIT_UNPROTECTED'],
    ['a unit nobody knows', { policy: policyOf(1n, { unit: 'hospital' }) }, 'PRIVACY_POLICY_INVALID'],
    ['no data set', { policy: policyOf(1n, { dataset: '' }) }, 'PRIVACY_POLICY_INVALID'],
    ['delta 1', { policy: policyOf(1n, { delta: 1 }) }, 'PRIVACY_POLICY_INVALID'],
    ['epsilon NaN', { policy: policyOf(1n, { epsilon: Number.NaN }) }, 'PRIVACY_POLICY_INVALID'],
    ['a partition that is not declared', { policy: policyOf(1n, { partition: 'east' }) }, 'PRIVACY_PARTITION'],
    ['an empty key', { key: '' }, 'PRIVACY_POLICY_INVALID'],
  ])('refuses %s', async (_what, changes, code) => {
    const world = await startWorld();
    await expect(reserve(world.ground, asked(1n, 1, changes))).rejects.toMatchObject({ code });
    expect(world.place.records).toHaveLength(1);
  });

  it('refuses another policy than the one the run began with', async () => {
    const world = await startWorld();
    await granted(world, asked(1n, 1));
    const other = asked(1n, 2, { policy: policyOf(1n, { dataset: 'other' }) });
    await expect(reserve(world.ground, other)).rejects.toMatchObject({ code: 'PRIVACY_POLICY_CHANGED' });
  });

  it('keeps one data set to one kind of unit and one relation', async () => {
    const world = await startWorld();
    await granted(world, asked(1n, 1));
    const users = asked(2n, 1, { policy: policyOf(2n, { unit: 'user' }), units: [unit(9)] });
    await expect(reserve(world.ground, users)).rejects.toMatchObject({ code: 'PRIVACY_POLICY_INVALID' });
    const replacing = gaussian(10).replace('add-or-remove-one', 'replace-one');
    const other = asked(2n, 1, { policy: policyOf(2n), units: [unit(9)], events: [replacing] });
    await expect(reserve(world.ground, other)).rejects.toMatchObject({ code: 'PRIVACY_EVENT_INVALID' });
  });
});

/** How many events of this noise the defaults cover. */
const fitting = (noise: number): number => {
  let order = 2;
  const allowance = (at: number) => 1 - (Math.log(1 - 1 / at) - (Math.log(1e-5) + Math.log(at)) / (at - 1));
  for (let at = 2; at < 2_000; at += 1) if (allowance(at) / at > allowance(order) / order) order = at;
  return Math.floor(allowance(order) / (order / (2 * noise * noise)));
};

describe('a schedule', () => {
  const schedule = [gaussian(30, 10)];
  const scheduled = (runId: bigint, round: number, changes = {}) =>
    asked(runId, round, { policy: policyOf(runId, { schedule }), events: [gaussian(30)], ...changes });

  it('lets out exactly what it names', async () => {
    const world = await startWorld();
    for (let round = 1; round <= 10; round += 1) await granted(world, scheduled(1n, round));
    const { detail, fits } = await refused(world, scheduled(1n, 11));
    expect(detail).toContain('not in what is left of its schedule (0 % of it)');
    expect(fits.count).toBe(0);
  });

  it('lets out nothing else', async () => {
    const world = await startWorld();
    await granted(world, scheduled(1n, 1));
    expect((await refused(world, scheduled(1n, 2, { events: [gaussian(29)] }))).shortfalls[0]?.scope.kind).toBe('run');
  });

  it('is refused as a whole when it costs more than the run has', async () => {
    const world = await startWorld();
    const policy = policyOf(1n, { schedule: [gaussian(3, 10)], epsilon: 0.5 });
    const { shortfalls } = await refused(world, asked(1n, 1, { policy, events: [gaussian(3)] }));
    expect(shortfalls[0]).toMatchObject({ scope: { kind: 'run' }, budget: { epsilon: 0.5 }, left: 1 });
    expect(shortfalls[0]?.epsilonAsked).toBeGreaterThan(0.5);
  });

  it('gives back what is released', async () => {
    const world = await startWorld();
    const ids = [];
    for (let round = 1; round <= 10; round += 1) ids.push((await granted(world, scheduled(1n, round))).reservation.id);
    await release(world.ground, { id: ids[0] as string, proof: 'nothing-sealed', reason: 'the round was given up' });
    await granted(world, scheduled(1n, 11));
    await refused(world, scheduled(1n, 12));
  });

  it('is planned with the least noise that every scope covers, and that plan is then granted to its end', async () => {
    const world = await startWorld();
    const open = JSON.stringify({ mechanism: 'gaussian', relation: 'add-or-remove-one', count: 20 });
    const planned = await plan(world.ground, policyOf(1n, { schedule: [open] }), []);
    expect(planned).toMatchObject({ granted: true, refusal: null });
    expect(planned.balances.map(({ used }) => used)).toEqual(planned.balances.map(({ used }) => Math.min(used, 1)));
    expect(Math.max(...planned.balances.map(({ used }) => used))).toBeGreaterThan(0.99);
    const policy = policyOf(1n, { schedule: planned.schedule });
    for (let round = 1; round <= 20; round += 1)
      await granted(world, asked(1n, round, { policy, events: [gaussian(planned.noise)] }));
    expect(world.place.records.length).toBeGreaterThan(20);
    const less = { ...policyOf(2n), schedule: [gaussian(planned.noise, 1)] };
    expect((await plan(world.ground, less, [unit(1)])).refusal?.shortfalls.map(({ scope }) => scope.kind)).toEqual([
      'dataset',
      'unit',
    ]);
  });
});

describe('committing and releasing', () => {
  it('keeps what was reserved as spent, and is the same when repeated', async () => {
    const world = await startWorld();
    const { reservation } = await granted(world, asked(1n, 1));
    const used = await usedOf(world, 'unit', unit(1));
    for (let time = 0; time < 2; time += 1)
      expect(await commit(world.ground, done(reservation.id))).toMatchObject({
        committed: { reservation: { state: 'committed' } },
      });
    expect(await usedOf(world, 'unit', unit(1))).toBe(used);
    await expect(commit(world.ground, done(reservation.id, { result: 'other' }))).rejects.toMatchObject({
      code: 'PRIVACY_RESERVATION_COMMITTED',
    });
  });

  it('charges less for more noise, and never less for an event that did not happen', async () => {
    const world = await startWorld();
    const two = { events: [gaussian(10), gaussian(20)] };
    const { reservation } = await granted(world, asked(1n, 1, two));
    const before = await usedOf(world, 'unit', unit(1));
    const answer = await commit(world.ground, done(reservation.id, { events: [gaussian(15)] }));
    const charged = 'committed' in answer ? [...answer.committed.reservation.events.keys()] : [];
    expect(charged.map((event) => JSON.parse(event)['noise-multiplier']).sort()).toEqual([15, 20]);
    expect(await usedOf(world, 'unit', unit(1))).toBeLessThan(before);
  });

  it('refuses less noise than the budget covers; the reservation stays as it was', async () => {
    const world = await startWorld();
    const { reservation } = await granted(world, asked(1n, 1));
    const used = await usedOf(world, 'unit', unit(1));
    expect(await commit(world.ground, done(reservation.id, { events: [gaussian(1)] }))).toMatchObject({
      refused: { code: 'PRIVACY_BUDGET_EXHAUSTED' },
    });
    expect(await usedOf(world, 'unit', unit(1))).toBe(used);
    expect(await commit(world.ground, done(reservation.id, { events: [gaussian(9)] }))).toHaveProperty('committed');
    expect(await usedOf(world, 'unit', unit(1))).toBeGreaterThan(used);
  });

  it('gives back what is released, once, and lets nothing of it be committed', async () => {
    const world = await startWorld();
    const { reservation } = await granted(world, asked(1n, 1));
    const give = { id: reservation.id, proof: 'nothing-sealed', reason: 'no node answered' };
    await expect(release(world.ground, { ...give, proof: '' })).rejects.toMatchObject({
      code: 'PRIVACY_RELEASE_UNPROVEN',
    });
    for (let time = 0; time < 2; time += 1)
      expect((await release(world.ground, give)).reservation.state).toBe('released');
    expect(await usedOf(world, 'unit', unit(1))).toBe(0);
    await expect(commit(world.ground, done(reservation.id))).rejects.toMatchObject({
      code: 'PRIVACY_RESERVATION_RELEASED',
    });
    expect((await granted(world, asked(1n, 1))).reservation.state).toBe('released');
  });

  it('releases nothing that was committed, and knows nobody else’s', async () => {
    const world = await startWorld();
    const { reservation } = await granted(world, asked(1n, 1));
    await commit(world.ground, done(reservation.id));
    const give = { id: reservation.id, proof: 'nothing-sealed', reason: '' };
    await expect(release(world.ground, give)).rejects.toMatchObject({ code: 'PRIVACY_RESERVATION_COMMITTED' });
    await expect(release(world.ground, { ...give, id: 'nobody' })).rejects.toMatchObject({
      code: 'PRIVACY_RESERVATION_NOT_FOUND',
    });
  });
});

describe('partitions', () => {
  const ward = { kind: 'dataset', name: 'ward' } as const;
  const inPart = (runId: bigint, partition: string, units: string[]) =>
    asked(runId, 1, { policy: policyOf(runId, { partition }), units, events: [gaussian(6)] });

  it('cost as much as the dearest of them, not as much as all', async () => {
    const world = await startWorld();
    await setBudget(world.ground, { scope: ward, epsilon: 1, delta: null, addPartitions: ['east', 'west'] });
    await granted(world, inPart(1n, 'east', [unit(1)]));
    const one = await usedOf(world, 'dataset', 'ward');
    await granted(world, inPart(2n, 'west', [unit(2)]));
    expect(await usedOf(world, 'dataset', 'ward')).toBe(one);
    // what concerns everybody comes on top of each
    await granted(world, asked(3n, 1, { policy: policyOf(3n), units: [unit(1), unit(2)], events: [gaussian(20)] }));
    expect(await usedOf(world, 'dataset', 'ward')).toBeGreaterThan(one);
  });

  it('are believed until a unit shows up in two of them', async () => {
    const world = await startWorld();
    await setBudget(world.ground, { scope: ward, epsilon: 1, delta: null, addPartitions: ['east', 'west'] });
    await granted(world, inPart(1n, 'east', [unit(1)]));
    await expect(reserve(world.ground, inPart(2n, 'west', [unit(1)]))).rejects.toMatchObject({
      code: 'PRIVACY_PARTITION',
    });
  });
});

describe('a budget', () => {
  const set = (
    world: World,
    kind: 'run' | 'dataset' | 'unit',
    name: string,
    epsilon: number,
    delta: number | null = null,
  ) => setBudget(world.ground, { scope: { kind, name }, epsilon, delta, addPartitions: [] });

  it('is 1.0 at 1e-5 by default', async () => {
    const world = await startWorld();
    const { defaults } = await listBudgets(world.ground, false);
    expect(defaults.map(({ scope, budget }) => [scope.kind, budget.epsilon, budget.delta])).toEqual([
      ['run', 1, 1e-5],
      ['dataset', 1, 1e-5],
      ['unit', 1, 1e-5],
    ]);
  });

  it('can be raised, and lowered down to what is spent', async () => {
    const world = await startWorld();
    await granted(world, asked(1n, 1));
    await set(world, 'dataset', 'ward', 3);
    const { epsilon } = (await spent(world.ground, [{ kind: 'dataset', name: 'ward' }]))[0] as { epsilon: number };
    await expect(set(world, 'dataset', 'ward', epsilon * 0.99)).rejects.toMatchObject({ code: 'PRIVACY_BUDGET_EDIT' });
    expect((await set(world, 'dataset', 'ward', epsilon * 1.01)).used).toBeGreaterThan(0.5);
    await expect(set(world, 'unit', '', epsilon * 0.5)).rejects.toMatchObject({ code: 'PRIVACY_BUDGET_EDIT' });
    await expect(set(world, 'unit', unit(1), epsilon * 0.5)).rejects.toMatchObject({ code: 'PRIVACY_BUDGET_EDIT' });
    await set(world, 'unit', unit(77), 0.01);
  });

  it('cannot get a larger delta under which less would be spent', async () => {
    const world = await startWorld();
    await set(world, 'dataset', 'ward', 1, 1e-4);
    await granted(world, asked(1n, 1));
    await expect(set(world, 'dataset', 'ward', 1, 1e-3)).rejects.toMatchObject({ code: 'PRIVACY_BUDGET_EDIT' });
    await set(world, 'dataset', 'ward', 3, 1e-6);
  });

  it('of a run is fixed once it has begun, and caps what its plan asks for', async () => {
    const world = await startWorld();
    await set(world, 'run', '7', 0.5);
    expect(await refused(world, asked(7n, 1, { policy: policyOf(7n, { epsilon: 0.6 }) }))).toMatchObject({
      shortfalls: [{ scope: { kind: 'run', name: '7' }, budget: { epsilon: 0.5 } }],
    });
    await granted(world, asked(7n, 1));
    await expect(set(world, 'run', '7', 5)).rejects.toMatchObject({ code: 'PRIVACY_BUDGET_EDIT' });
  });

  it.each([
    ['nothing', 'dataset', 'ward', 0, null],
    ['NaN', 'dataset', 'ward', Number.NaN, null],
    ['delta 1', 'dataset', 'ward', 1, 1],
    ['a run that is no number', 'run', 'seven', 1, null],
    ['a unit that is no pseudonym', 'unit', 'Ada', 1, null],
  ] as const)('is never %s', async (_what, kind, name, epsilon, delta) => {
    const world = await startWorld();
    await expect(set(world, kind, name, epsilon, delta)).rejects.toMatchObject({ code: 'PRIVACY_POLICY_INVALID' });
  });
});

describe('a restart', () => {
  it('has every balance and every reservation, whatever was under way', async () => {
    const place = new MemoryPlace();
    const first = await startWorld(place);
    const { reservation } = await granted(first, asked(1n, 1));
    await commit(first.ground, done(reservation.id));
    await granted(first, asked(1n, 2));
    const before = await spent(first.ground, []);
    const second = await startWorld(place);
    expect(await spent(second.ground, [])).toEqual(before);
    expect((await granted(second, asked(1n, 1))).reservation).toMatchObject({ id: reservation.id, state: 'committed' });
    // the first one was never told, and writes nothing any more
    await expect(reserve(first.ground, asked(1n, 3))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await spent(second.ground, [])).toEqual(before);
  });
});
