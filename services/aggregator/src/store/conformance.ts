import { conformanceSuite } from '@aegis/testkit';
import { expect, it } from 'vitest';
import type { ModelInfo, ModelVersion } from '../domain/model.ts';
import type { Plan } from '../domain/plan.ts';
import { openRound } from '../domain/round.ts';
import { step } from '../domain/round-step.ts';
import { newRun } from '../domain/run.ts';
import { integer, real } from '../domain/scalar.ts';
import { arraysOf, f4, hashOf, i8, npz, room, sendUpdate } from './conformance-updates.ts';
import { type IntakeRoom, StaleWrite, type Stores } from './contract.ts';
import { type NpyArray, readNpy, readNpz } from './memory/npy.ts';

const run = (runId: bigint) =>
  newRun(
    {
      runId,
      seriesId: 2n ** 64n - 1n,
      app: { appId: 'a/b', version: '1', hash: 'h' },
      federation: '',
      overrides: [{ key: 'data', value: { kind: 'data', value: Buffer.from([0, 255]) } }],
      plan: { rounds: 2, minReport: null, nan: Number.NaN } as unknown as Plan,
      modelId: null,
      modelBytes: 0,
    },
    1234.5,
  );
const rules = {
  sampling: { fraction: 1, minNodes: 1, minAvailable: 1, overSelect: 1 },
  minReport: null,
  deadlineSeconds: 9,
  tries: 2,
  optional: false,
};
const round = (runId: bigint) => {
  const open = openRound({ runId, round: 1, rounds: 2, kind: 'train', modelId: null, rules }, 1);
  return step(open, { type: 'drawn', tasks: [{ nodeId: 2n ** 63n, taskId: 'T' }], wanted: 1, traceparent: '' }, 2)
    .state;
};
const version = (more: Partial<ModelVersion>): ModelVersion => ({
  modelId: 'a'.repeat(64),
  name: '',
  runId: null,
  round: 0,
  cohort: 3,
  createdAt: 5,
  bytes: 7,
  parentId: '',
  metrics: [{ key: 'loss', value: real(0.5) }],
  ...more,
});

const initial = { w: f4([2], [0, 0]), n: i8([], [0]) };

export const storesSuite = conformanceSuite<Stores>('Stores', (stores) => {
  it('keep a run whole, with ids, bytes and numbers that JSON has not', async () => {
    const first = await stores().runs.save(run(1n), null);
    expect(await stores().runs.get(1n)).toEqual({ value: run(1n), revision: first });
    expect(await stores().runs.get(2n)).toBeNull();
  });

  it('write a run only for who knows its newest revision', async () => {
    const first = await stores().runs.save(run(1n), null);
    const second = await stores().runs.save({ ...run(1n), round: 1 }, first);
    expect(second).toBeGreaterThan(first);
    await expect(stores().runs.save(run(1n), first)).rejects.toThrow(StaleWrite);
    await expect(stores().runs.save(run(1n), null)).rejects.toThrow(StaleWrite);
    expect((await stores().runs.get(1n))?.value.round).toBe(1);
  });

  it('list all runs', async () => {
    for (const id of [1n, 2n ** 64n - 1n]) await stores().runs.save(run(id), null);
    expect((await stores().runs.list()).map((one) => one.runId).sort()).toEqual([1n, 2n ** 64n - 1n]);
  });

  it('keep the round under way and forget it', async () => {
    const first = await stores().rounds.save(round(1n), null);
    expect(await stores().rounds.get(1n)).toEqual({ value: round(1n), revision: first });
    await expect(stores().rounds.save(round(1n), first + 1000)).rejects.toThrow(StaleWrite);
    await stores().rounds.delete(1n);
    expect(await stores().rounds.get(1n)).toBeNull();
  });

  it('give a lease to one, show who has it, and list them all', async () => {
    const { leases } = stores();
    const me = { runId: 1n, owner: 'me', address: 'host-1:7443', volume: 'v', epoch: 1 };
    const you = { ...me, owner: 'you', address: '', epoch: 2 };
    const others = { ...me, runId: 2n ** 64n - 1n, owner: '' };
    const first = await leases.take(me, null);
    await expect(leases.take(you, null)).rejects.toThrow(StaleWrite);
    const renewed = await leases.take(me, first);
    expect(await leases.get(1n)).toEqual({ ...me, revision: renewed });
    const stolen = await leases.take(you, renewed);
    await expect(leases.take(me, renewed)).rejects.toThrow(StaleWrite);
    await expect(leases.remove(1n, renewed)).rejects.toThrow(StaleWrite);
    const other = await leases.take(others, null);
    expect((await leases.list()).sort((a, b) => (a.runId < b.runId ? -1 : 1))).toEqual([
      { ...you, revision: stolen },
      { ...others, revision: other },
    ]);
    await leases.remove(1n, stolen);
    expect(await leases.get(1n)).toBeNull();
    expect(await leases.take(me, null)).toBeGreaterThan(stolen);
  });

  it('keep a bundle byte for byte', async () => {
    const fab = Buffer.from([0, 1, 2, 255]);
    const app = {
      hash: hashOf(fab),
      digest: 'd',
      appId: 'a/b',
      version: '1',
      config: [{ key: 'n', value: integer(3) }],
      detectedDialect: null,
    };
    await stores().apps.put(app, fab);
    expect(await stores().apps.get(app.hash)).toEqual(app);
    expect(await stores().apps.fab(app.hash)).toEqual(fab);
    expect(await stores().apps.fab('../../keys')).toBeNull();
    expect(await stores().apps.get('f'.repeat(64))).toBeNull();
  });

  it('find a plan by the bundle, else by the digest, the newest import first', async () => {
    const plan = { appHash: 'h1', appDigest: 'd', appId: 'a/b', json: '{}', modelId: null, importedAt: 1 };
    await stores().plans.put(plan);
    await stores().plans.put({ ...plan, appHash: 'h2', json: '{"new":1}' });
    expect((await stores().plans.find('h1', 'd'))?.json).toBe('{}');
    expect((await stores().plans.find('h3', 'd'))?.json).toBe('{"new":1}');
    expect(await stores().plans.find('h3', 'e')).toBeNull();
  });

  it('keep imported models by name, the newest of a name', async () => {
    const { imports } = stores();
    const mine = version({ name: 'best model/ä', modelId: 'b'.repeat(64) });
    await imports.put(version({ name: 'best model/ä' }));
    await imports.put(mine);
    await imports.put(version({}));
    expect(await imports.named('best model/ä')).toEqual(mine);
    expect(await imports.named('best')).toBeNull();
    expect(await imports.list()).toHaveLength(2);
  });

  it('import, describe, read and export a model', async () => {
    const { models } = stores();
    const info = await models.import('npz', npz(initial), 1_000_000);
    expect(info.tensors.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ['w', '<f4', [2]],
      ['n', '<i8', []],
    ]);
    expect(await models.get(info.modelId)).toEqual(info);
    expect(await models.import('npz', npz(initial), 1_000_000)).toEqual(info);
    for (const { name, offset, length } of info.tensors) {
      expect(readNpy(await models.read(info.modelId, offset, length))).toEqual(initial[name as 'w' | 'n']);
    }
    const pieces: Buffer[] = [];
    for await (const piece of models.export(info.modelId, 'npz')) pieces.push(piece);
    expect((await readNpz(Buffer.concat(pieces))).map(({ name, npy }) => [name, readNpy(npy)])).toEqual(
      Object.entries(initial),
    );
  });

  it('give arrays new names', async () => {
    const info = await stores().models.import('npz', npz(initial), 1_000_000);
    const renamed = await stores().models.rename(info.modelId, ['0', '1']);
    expect(renamed.tensors.map((tensor) => tensor.name)).toEqual(['0', '1']);
    expect(renamed.modelId).not.toBe(info.modelId);
  });

  it('know no model by a wrong or a wicked name', async () => {
    expect(await stores().models.get('f'.repeat(64))).toBeNull();
    expect(await stores().models.get('../../keys/aggregator.key')).toBeNull();
    await expect(stores().models.import('npz', Buffer.from('hello'), 1_000_000)).rejects.toMatchObject({
      code: 'MODEL_MALFORMED',
    });
  });

  it('refuse a model that unpacks to more than allowed, and keep nothing of it', async () => {
    const { models } = stores();
    await expect(models.import('npz', npz(initial), 200)).rejects.toMatchObject({ code: 'MODEL_MALFORMED' });
    const { modelId } = await models.import('npz', npz(initial), 1_000_000);
    await models.remove(modelId);
    await models.remove(modelId);
    expect(await models.get(modelId)).toBeNull();
  });

  // --- intake -------------------------------------------------------------------------------------------------------------

  const model = (): Promise<ModelInfo> => stores().models.import('npz', npz(initial), 1_000_000);
  it('take a part once, and only under its own hash', async () => {
    const intake = await stores().intakes.open(room, await model(), 1);
    const content = Buffer.from('hello part');
    const part = hashOf(content);
    expect(intake.has(part)).toBe(false);
    expect(await intake.append(part, content)).toEqual({ deduplicated: false });
    expect(await intake.append(part, content)).toEqual({ deduplicated: true });
    expect(intake.has(part)).toBe(true);
    expect(await intake.read(part)).toEqual(content);
    expect(await intake.read(part, 5)).toEqual(content.subarray(0, 5));
    await expect(intake.append(hashOf(Buffer.from('x')), content)).rejects.toMatchObject({ code: 'PART_HASH' });
    expect(await intake.read(hashOf(Buffer.from('x')))).toBeNull();
    await intake.close();
  });

  it('have parts and accepted answers again after they were closed', async () => {
    const base = await model();
    const intake = await stores().intakes.open(room, base, 1);
    const answer = await sendUpdate(intake, 3, initial);
    await intake.record(answer);
    await intake.close();
    const again = await stores().intakes.open(room, base, 1);
    expect(await again.recorded()).toEqual([answer]);
    expect(answer.tensors.flatMap((tensor) => tensor.slices).every((slice) => again.has(slice.part))).toBe(true);
    await again.close();
  });

  it('go on under a later epoch with all that was durable, and without what comes late', async () => {
    const base = await model();
    const old = await stores().intakes.open(room, base, 1);
    const kept = await sendUpdate(old, 1, initial);
    await old.record(kept);
    const next = await stores().intakes.open(room, base, 2);
    expect(await next.recorded()).toEqual([kept]);
    const late = Buffer.from('late');
    await old.append(hashOf(late), late).catch(() => {});
    await old.record({ ...kept, taskId: 'late' }).catch(() => {});
    expect([next.has(hashOf(late)), (await next.recorded()).length]).toEqual([false, 1]);
    const own = await sendUpdate(next, 2, initial);
    await next.record(own);
    await old.close().catch(() => {});
    await next.close();
    const third = await stores().intakes.open(room, base, 3);
    expect(third.has(hashOf(late))).toBe(false);
    expect((await third.recorded()).sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1))).toEqual([kept, own]);
    await third.fold(kept);
    await third.fold(own);
    expect((await third.writeMean()).tensors).toHaveLength(2);
    await third.close();
    await expect(stores().intakes.open(room, base, 2)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('forget no room that a later epoch has opened', async () => {
    const base = await model();
    const old = await stores().intakes.open(room, base, 1);
    await old.record(await sendUpdate(old, 1, initial));
    const next = await stores().intakes.open(room, base, 2);
    await old.close().catch(() => {});
    await stores().intakes.remove(room, 1);
    await next.close();
    const again = await stores().intakes.open(room, base, 2);
    expect(await again.recorded()).toHaveLength(1);
    await again.close();
    await stores().intakes.remove(room, 2);
    const anew = await stores().intakes.open(room, base, 3);
    expect(await anew.recorded()).toEqual([]);
    await anew.close();
  });

  it('forget a room, and every room of a run', async () => {
    const base = await model();
    const fill = async (where: IntakeRoom) => {
      const intake = await stores().intakes.open(where, base, 1);
      await intake.record(await sendUpdate(intake, 1, initial));
      await intake.close();
    };
    const count = async (where: IntakeRoom) => {
      const intake = await stores().intakes.open(where, base, 1);
      const { length } = await intake.recorded();
      await intake.close();
      return length;
    };
    const second = { ...room, attempt: 2 };
    for (const where of [room, second, { ...room, runId: 8n }]) await fill(where);
    await stores().intakes.remove(room, 1);
    expect([await count(room), await count(second)]).toEqual([0, 1]);
    expect((await stores().intakes.runs()).sort()).toEqual([8n, 9n]);
    await stores().intakes.removeRun(9n);
    expect(await stores().intakes.runs()).toEqual([8n]);
    expect([await count(second), await count({ ...room, runId: 8n })]).toEqual([0, 1]);
  });

  it('write the weighted mean, each tensor in its own type', async () => {
    const intake = await stores().intakes.open(room, await model(), 1);
    for (const [node, w, n] of [
      [1, 4, 1],
      [3, 8, 4],
    ] as const) {
      const answer = await sendUpdate(intake, node, { w: f4([2], [w, -w]), n: i8([], [n]) });
      expect((await intake.check(answer.tensors)).verdict).toEqual({ accepted: true });
      await intake.fold(answer);
    }
    // 13/4 rounds to 3
    expect(await arraysOf(stores(), await intake.writeMean())).toEqual({ w: [7, -7], n: [3] });
    await intake.close();
  });

  it('give the same bits whatever the order', async () => {
    const base = await model();
    const values = [0.1, 1e7, -3.3, 1e-9, 77.7];
    const fold = async (order: number[], attempt: number) => {
      const intake = await stores().intakes.open({ ...room, attempt }, base, 1);
      for (const i of order)
        await intake.fold(
          await sendUpdate(intake, i + 1, { w: f4([2], [values[i] ?? 0, i]), n: i8([], [i]) }, 0.3 * (i + 1)),
        );
      const { modelId } = await intake.writeMean();
      await intake.close();
      return modelId;
    };
    expect(await fold([4, 2, 0, 1, 3], 2)).toBe(await fold([0, 1, 2, 3, 4], 1));
  });

  it.each<[string, Record<string, NpyArray>, string]>([
    ['NaN', { w: f4([2], [Number.NaN, 0]), n: i8([], [0]) }, 'UPDATE_NOT_FINITE'],
    ['an infinity', { w: f4([2], [0, Number.NEGATIVE_INFINITY]), n: i8([], [0]) }, 'UPDATE_NOT_FINITE'],
    ['another shape', { w: f4([3], [0, 0, 0]), n: i8([], [0]) }, 'UPDATE_TENSORS'],
    ['another type', { w: { descr: '<f8', shape: [2], values: [0, 0] }, n: i8([], [0]) }, 'UPDATE_TENSORS'],
  ])('refuse %s, with a reason', async (_what, arrays, code) => {
    const intake = await stores().intakes.open(room, await model(), 1);
    const { verdict } = await intake.check((await sendUpdate(intake, 1, arrays)).tensors);
    expect(verdict).toMatchObject({ accepted: false, code, detail: expect.stringMatching(/w/) });
    await intake.close();
  });

  it('refuse what is no array, and parts that never came', async () => {
    const intake = await stores().intakes.open(room, await model(), 1);
    const junk = Buffer.from('not an array at all');
    await intake.append(hashOf(junk), junk);
    const of = (part: string, length: number) => [
      { name: 'w', slices: [{ part, offset: 0, length }] },
      { name: 'n', slices: [] },
    ];
    expect((await intake.check(of(hashOf(junk), junk.length))).verdict).toMatchObject({
      accepted: false,
      code: 'UPDATE_TENSOR_MALFORMED',
    });
    expect((await intake.check(of('f'.repeat(64), 3))).verdict).toMatchObject({
      accepted: false,
      code: 'PART_NOT_FOUND',
    });
    await intake.close();
  });

  it('take a first model from one node, and look at it before', async () => {
    const first = { ...room, kind: 'initial-model' as const, round: 0 };
    const intake = await stores().intakes.open(first, null, 1);
    const good = await sendUpdate(intake, 1, { 0: f4([2], [1, 2]), 1: i8([], [7]) });
    const bad = await sendUpdate(intake, 2, { 0: f4([2], [1, Number.NaN]) });
    expect((await intake.check(bad.tensors)).verdict).toMatchObject({ accepted: false, code: 'UPDATE_NOT_FINITE' });
    expect((await intake.check(good.tensors)).verdict).toEqual({ accepted: true });
    expect(await arraysOf(stores(), await intake.writeFirst(good))).toEqual({ 0: [1, 2], 1: [7] });
    await intake.close();
  });
});
