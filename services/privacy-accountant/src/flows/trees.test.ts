// A run whose schedule is one tree (DP-FTRL): charged once for all its rounds, and covered for what the event says and no more.
import { describe, expect, it } from 'vitest';
import { MemoryPlace } from '../store/memory/index.ts';
import { asked, policyOf, startWorld, tree, unit } from '../testing/world.ts';
import { commit } from './commit.ts';
import { plan } from './plan.ts';
import { release } from './release.ts';
import { type Granted, type ReserveAsked, reserve } from './reserve.ts';
import { spent } from './spent.ts';
import { statement } from './statement.ts';
import { verify } from './verify.ts';

type World = Awaited<ReturnType<typeof startWorld>>;

const event = tree(20, [4, 2], 2);
const round = (number: number, units: number[], changes: Partial<ReserveAsked> = {}): ReserveAsked =>
  asked(7n, number, {
    policy: policyOf(7n, { schedule: [event] }),
    events: [event],
    units: units.map(unit),
    ...changes,
  });
const granted = async (world: World, ask: ReserveAsked): Promise<Granted> => {
  const answer = await reserve(world.ground, ask);
  if ('refused' in answer) throw new Error(answer.refused.detail);
  return answer.granted;
};
const epsilons = async (world: World): Promise<number[]> => {
  const scopes = [{ kind: 'run', name: '7' } as const, { kind: 'dataset', name: 'ward' } as const];
  return (await spent(world.ground, scopes)).map(({ epsilon }) => epsilon);
};
const usedBy = async (world: World, number: number): Promise<number> =>
  (await spent(world.ground, [{ kind: 'unit', name: unit(number) }]))[0]?.used ?? 0;
const done = (id: string, result: string) => ({ id, events: [], result, inTheClear: [] });

describe("a tree's run", () => {
  it('pays for all rounds with the first, and for each unit with the first round that names it', async () => {
    const world = await startWorld();
    const first = await granted(world, round(1, [1, 2]));
    await commit(world.ground, done(first.reservation.id, 'model-1'));
    const once = await epsilons(world);
    expect(once.every((epsilon) => epsilon > 0)).toBe(true);
    const used = await usedBy(world, 1);
    expect([used > 0, await usedBy(world, 3)]).toEqual([true, 0]);
    const second = await granted(world, round(2, [3]));
    await commit(world.ground, done(second.reservation.id, 'model-2'));
    await granted(world, round(5, [1, 3]));
    expect(await epsilons(world)).toEqual(once);
    expect([await usedBy(world, 1), await usedBy(world, 3)]).toEqual([used, used]);
    expect((await verify(world.ground)).findings).toEqual([]);
  });

  it('is stated as the whole tree, from its first model on', async () => {
    const world = await startWorld();
    for (const [number, units] of [
      [1, [1, 2]],
      [2, [3, 4]],
    ] as const) {
      const { reservation } = await granted(world, round(number, [...units]));
      await commit(world.ground, done(reservation.id, `model-${number}`));
    }
    const read = async (model: string) =>
      JSON.parse((await statement(world.ground, 7n, model)).payload.toString('utf8')) as Record<string, unknown>;
    const [first, second] = [await read('model-1'), await read('model-2')];
    expect(first.guarantee).toEqual(second.guarantee);
    expect(second).toMatchObject({
      events: [{ mechanism: 'tree', steps: [4, 2], epochs: 2, count: 1 }],
      noise: [{ mechanism: 'tree', by: 'server' }],
      sampling: [{ kind: 'none' }],
      units: 4,
    });
  });

  it('has as many rounds as leaves, and a unit in as many of them as epochs', async () => {
    const world = await startWorld();
    await granted(world, round(1, [1]));
    await granted(world, round(2, [1]));
    await expect(reserve(world.ground, round(3, [2, 1]))).rejects.toMatchObject({
      code: 'PRIVACY_EVENT_INVALID',
      message: expect.stringMatching(/has taken part 2 times, as often as its tree allows/),
    });
    for (const number of [3, 4, 5, 6]) await granted(world, round(number, [number]));
    await expect(reserve(world.ground, round(7, [9]))).rejects.toMatchObject({
      message: expect.stringMatching(/6 leaves, and all are taken/),
    });
  });

  it('takes no other events, neither before nor after', async () => {
    const world = await startWorld();
    await expect(reserve(world.ground, round(1, [1], { events: [tree(20, [4], 1)] }))).rejects.toMatchObject({
      code: 'PRIVACY_EVENT_INVALID',
    });
    const { reservation } = await granted(world, round(1, [1]));
    const before = await epsilons(world);
    const quieter = { ...done(reservation.id, 'model'), events: [tree(40, [4, 2], 2)] };
    await expect(commit(world.ground, quieter)).rejects.toMatchObject({ code: 'PRIVACY_EVENT_INVALID' });
    expect(await epsilons(world)).toEqual(before);
  });

  it('gives nothing back while a round stands, and everything with the last', async () => {
    const world = await startWorld();
    const first = await granted(world, round(1, [1, 2]));
    const second = await granted(world, round(2, [3]));
    const before = await epsilons(world);
    const back = (of: Granted) =>
      release(world.ground, { id: of.reservation.id, proof: 'nothing-sealed', reason: 'nobody answered' });
    await back(first);
    expect(await epsilons(world)).toEqual(before);
    expect(await usedBy(world, 1)).toBeGreaterThan(0);
    await back(second);
    expect(await epsilons(world)).toEqual([0, 0]);
    expect([await usedBy(world, 1), await usedBy(world, 3)]).toEqual([0, 0]);
    // what it asked before is charged again with the next that stands
    await granted(world, round(3, [4]));
    expect(await epsilons(world)).toEqual(before);
    expect(await usedBy(world, 1)).toBe(await usedBy(world, 4));
    expect((await verify(world.ground)).findings).toEqual([]);
  });

  it('is the same to a ledger that opens the history again', async () => {
    const place = new MemoryPlace();
    const world = await startWorld(place);
    const first = await granted(world, round(1, [1, 2]));
    const second = await granted(world, round(2, [2, 3]));
    await commit(world.ground, done(second.reservation.id, 'model-2'));
    const before = await epsilons(world);
    await world.close();
    const next = await startWorld(place);
    expect(await epsilons(next)).toEqual(before);
    expect((await granted(next, round(1, [1, 2]))).reservation.id).toBe(first.reservation.id);
    await expect(reserve(next.ground, round(3, [2]))).rejects.toMatchObject({ code: 'PRIVACY_EVENT_INVALID' });
    await granted(next, round(3, [1, 3]));
    expect(await epsilons(next)).toEqual(before);
  });

  it('is refused beyond the budget of one unit, however it is composed', async () => {
    const world = await startWorld();
    const dear = tree(4, [4, 2], 2);
    const answer = await plan(world.ground, policyOf(7n, { schedule: [dear] }), [unit(1)]);
    expect(answer).toMatchObject({ granted: false, refusal: { code: 'PRIVACY_BUDGET_EXHAUSTED' } });
    const { noise, granted: fits } = await plan(
      world.ground,
      policyOf(7n, { schedule: [dear.replace('"noise-multiplier":4,', '')] }),
      [unit(1)],
    );
    expect([fits, noise > 4]).toEqual([true, true]);
  });
});
