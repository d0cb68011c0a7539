import { conformanceSuite } from '@aegis/testkit';
import { expect, it } from 'vitest';
import type { ModelInfo } from '../domain/model.ts';
import { arraysOf, f4, npz, room, sendUpdate } from './conformance-updates.ts';
import type { Stores } from './contract.ts';

export const privateFoldSuite = conformanceSuite<Stores>('Stores of private runs', (stores) => {
  const start = { w: f4([3], [1, 1, 1]), b: f4([], [0]) };
  const privateModel = (): Promise<ModelInfo> => stores().models.import('npz', npz(start), 1_000_000);
  const moved = (w: number[], b = 0) => ({
    w: f4(
      [3],
      w.map((by) => 1 + by),
    ),
    b: f4([], [b]),
  });
  const rules = { clip: 5, weightMax: null };
  /** So little noise that the sum can be read. */
  const quiet = { ...rules, update: 1e-5, bit: null, clipBits: 0, denominator: 2 };
  const closeTo = (values: number[]) => values.map((value) => expect.closeTo(value, 3));

  it('add what updates differ by, clipped over all arrays together, and divide by what they are told', async () => {
    const intake = await stores().intakes.open(room, await privateModel(), 1);
    const { privately } = intake;
    expect(await privately.add(await sendUpdate(intake, 1, moved([3, 0, 0], 3.9)), rules)).toEqual({ clipped: false });
    expect(await privately.add(await sendUpdate(intake, 2, moved([0, 0, 10])), rules)).toEqual({ clipped: true });
    expect(await privately.hasNoised()).toBe(false);
    const { model, clipBits } = await privately.writeNoised(quiet);
    expect(await privately.hasNoised()).toBe(true);
    const arrays = await arraysOf(stores(), model);
    expect([...(arrays.w ?? [])]).toEqual(closeTo([2.5, 1, 3.5]));
    expect([...(arrays.b ?? [])]).toEqual(closeTo([1.95]));
    expect(clipBits).toBeNull();
    await intake.close();
  });

  it('weigh private updates up to the declared bound', async () => {
    const intake = await stores().intakes.open(room, await privateModel(), 1);
    const weighed = { ...rules, weightMax: 4 };
    await intake.privately.add(await sendUpdate(intake, 1, moved([1, 0, 0]), 2), weighed);
    await intake.privately.add(await sendUpdate(intake, 2, moved([0, 1, 0]), 100), weighed);
    const { model } = await intake.privately.writeNoised({ ...quiet, ...weighed, denominator: 1 });
    expect([...((await arraysOf(stores(), model)).w ?? [])]).toEqual(closeTo([1.5, 2, 1]));
    await intake.close();
  });

  it('draw noise once: the same again, after a restart, and for the next owner', async () => {
    const base = await privateModel();
    const loud = { ...quiet, update: 1, bit: 0.01, clipBits: -3 };
    const intake = await stores().intakes.open(room, base, 1);
    const answer = await sendUpdate(intake, 1, moved([1, 2, 3]));
    await intake.record(answer);
    await intake.privately.add(answer, rules);
    const first = await intake.privately.writeNoised(loud);
    // so little noise on the count of clipped updates that it can be read
    expect(first.clipBits).toBe(-3);
    expect(await intake.privately.writeNoised(loud)).toEqual(first);
    await intake.close();
    for (const epoch of [1, 2]) {
      const again = await stores().intakes.open(room, base, epoch);
      expect(await again.privately.hasNoised()).toBe(true);
      for (const known of await again.recorded()) await again.privately.add(known, rules);
      expect(await again.privately.writeNoised(loud)).toEqual(first);
      await again.close();
    }
    const other = await stores().intakes.open({ ...room, attempt: 2 }, base, 1);
    expect(await other.privately.hasNoised()).toBe(false);
    expect((await other.privately.writeNoised(loud)).model.modelId).not.toBe(first.model.modelId);
    await other.close();
  });

  it('give each leaf of a tree noise of its own, to one sum, and none where the secret is gone', async () => {
    const loud = { ...quiet, update: 1, denominator: 1 };
    let model = await privateModel();
    const noise: number[] = [];
    for (const leaf of [1, 2, 3, 4]) {
      const intake = await stores().intakes.open({ ...room, round: leaf }, model, 1);
      const before = (await arraysOf(stores(), model)).w ?? [];
      const first = await intake.privately.writeNoised({ ...loud, tree: { tree: 0, leaf } });
      expect(await intake.privately.writeNoised({ ...loud, tree: { tree: 0, leaf } })).toEqual(first);
      await intake.close();
      model = first.model;
      noise.push(((await arraysOf(stores(), model)).w?.[0] ?? 0) - (before[0] ?? 0));
    }
    expect(new Set(noise).size).toBe(4);
    const again = await stores().intakes.open({ ...room, attempt: 2 }, model, 1);
    await expect(again.privately.writeNoised({ ...loud, tree: { tree: 0, leaf: 4 } })).rejects.toMatchObject({
      code: 'PRIVACY_NOISE_USED',
    });
    await again.close();
    await stores().intakes.removeRun(room.runId);
    const later = await stores().intakes.open({ ...room, round: 5 }, model, 1);
    await expect(later.privately.writeNoised({ ...loud, tree: { tree: 0, leaf: 5 } })).rejects.toMatchObject({
      code: 'PRIVACY_NOISE_LOST',
    });
    expect(await later.privately.hasNoised()).toBe(false);
    await later.close();
  });

  it('release noise also when nobody answered', async () => {
    const base = await privateModel();
    const intake = await stores().intakes.open(room, base, 1);
    const { model } = await intake.privately.writeNoised({ ...quiet, update: 1 });
    expect(model.modelId).not.toBe(base.modelId);
    expect((await arraysOf(stores(), model)).w).toHaveLength(3);
    await intake.close();
  });
});
