// Masked runs: guards that mask with the core, an aggregator on in-memory stores, a secagg service that follows a script. What is opened is the
// plain mean within a step of the grid, whoever drops out, and nothing where too few are left.
import { AegisError } from '@aegis/errors';
import { eventually, FakeClock } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { packedBytes } from '../domain/masking.ts';
import type { Task } from '../peers/contract.ts';
import { writeNpy, writeNpz } from '../store/memory/npy.ts';
import { fab } from '../testing/bundles.ts';
import { Life, mortalPeers, mortalStores } from '../testing/mortal.ts';
import { ScriptedSecagg } from '../testing/scripted-secagg.ts';
import { type Conduct, type MaskedReply, SimulatedGuard } from '../testing/simulated-guard.ts';
import { type Arrays, answer, f4, i8, readModelArrays } from '../testing/simulated-node.ts';
import { World, type WorldOptions } from '../testing/world.ts';

const nodes = [1n, 2n, 3n, 4n, 5n];
const start: Arrays = { w: f4([2, 2], [100, -100, 0.5, 0]), scale: f4([], [3]), seen: i8([], [40]) };
const initial = writeNpz(Object.entries(start).map(([name, array]) => ({ name, npy: writeNpy(array) })));
const defaults = [
  'min-train-nodes = 5',
  'min-evaluate-nodes = 5',
  'min-available-nodes = 5',
  'fraction-evaluate = 0.0',
  'aegis.secagg.value-bits = 24',
];
const bundle = (lines: string, rounds = 1) =>
  fab({
    config: `num-server-rounds = ${rounds}
aegis.initial-model = "file:init.npz"
aegis.secagg.mode = "aegis"
aegis.secagg.own-clips = "seen:100"
aegis.secagg.metrics = "loss:0:10"
${lines}
${defaults.filter((line) => !lines.includes(line.split(' ')[0] ?? '')).join('\n')}`,
    extra: [{ name: 'init.npz', content: initial }],
  });

/** Node n moves every weight by n/10 in its own direction, and has seen 4n batches: four of five nodes have a whole mean. */
const moved = (node: number, model: Arrays): Arrays => ({
  w: f4(
    [2, 2],
    (model.w?.values ?? []).map((value, i) => value + (node / 10) * (i % 2 === 0 ? 1 : -1)),
  ),
  scale: f4([], [(model.scale?.values[0] ?? 0) - node / 100]),
  seen: i8([], [(model.seen?.values[0] ?? 0) + 4 * node]),
});
const learn = (task: Task, model: Arrays): MaskedReply => ({
  arrays: moved(Number(task.nodeId), model),
  metrics: [Number(task.nodeId)],
  examples: Number(task.nodeId) * 10,
});

/** The start moved by the weighted mean of what these nodes did. */
const meanOf = (members: readonly bigint[], weightOf: (node: number) => number = () => 1, from = start): number[] => {
  const total = members.reduce((sum, node) => sum + weightOf(Number(node)), 0);
  const names = ['w', 'scale', 'seen'];
  const flat = (arrays: Arrays) => names.flatMap((name) => [...(arrays[name]?.values ?? [])]);
  const sums = flat(from).map((value, i) => {
    const by = members.reduce(
      (sum, node) => sum + weightOf(Number(node)) * ((flat(moved(Number(node), from))[i] ?? 0) - value),
      0,
    );
    return value + by / total;
  });
  return sums.map((value, i) => (i === sums.length - 1 ? Math.round(value) : value));
};

interface Masked {
  /** Of the aggregator that is alive. */
  world: World;
  life: Life;
  readonly secagg: ScriptedSecagg;
  readonly guards: SimulatedGuard[];
  readonly played: Promise<unknown>[];
}

/** `conduct`: how far a node goes with the n-th task that it is given. */
function masked(conduct: (node: bigint, nth: number) => Conduct = () => 'honest', options: WorldOptions = {}): Masked {
  const world = new World(options);
  const secagg = new ScriptedSecagg();
  world.peers.secagg = secagg;
  const guards: SimulatedGuard[] = [];
  const played: Promise<unknown>[] = [];
  const stages = ['silent', 'advertises', 'shares', 'delivers', 'confirms', 'honest'] as const;
  const least = { advertise: 1, share: 2, confirm: 4, unmask: 5 } as const;
  const conducts = new Map<string, Conduct>();
  const given = new Map<bigint, number>();
  secagg.isAbsent = (node, stage, round) => stages.indexOf(conducts.get(`${node}/${round}`) ?? 'honest') < least[stage];
  world.peers.onTask = (task) => {
    const nth = (given.get(task.nodeId) ?? 0) + 1;
    given.set(task.nodeId, nth);
    const how = conduct(task.nodeId, nth);
    conducts.set(`${task.nodeId}/${task.masking?.round}`, how);
    const guard = new SimulatedGuard(
      task,
      secagg,
      () => held.world.channel,
      () => held.life.ending,
    );
    guards.push(guard);
    // all know their part before anybody begins
    played.push(
      Promise.resolve()
        .then(() => guard.play(learn, how))
        .catch((error: unknown) => error),
    );
  };
  world.peers.setOnline(nodes);
  for (const node of nodes) world.peers.masks.add(node);
  const held: Masked = { world, life: new Life(0, 'before'), secagg, guards, played };
  return held;
}

const values = async (world: World, modelId: string): Promise<number[]> => {
  const arrays = await readModelArrays(world.channel, modelId);
  return ['w', 'scale', 'seen'].flatMap((name) => [...(arrays[name]?.values ?? [])]);
};
const close = (expected: readonly number[]) => expected.map((value) => expect.closeTo(value, 4));

describe('a masked run', () => {
  it('moves the start model by the mean difference of all, and shows metrics out of the sum', async () => {
    const { world, secagg, guards } = masked();
    const { runId, note } = await world.start(bundle(''));
    expect(note).toMatch(/masked: the server opens sums only; all answers weigh the same; of the metrics loss travels/);
    expect(note).toMatch(/masked train by 5 nodes or more: with 5, everybody masks with everybody, 4 shares open/);
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(await values(world, run.modelId)).toEqual(close(meanOf(nodes)));
    expect(run.history[0]).toMatchObject({ cohort: 5, accepted: 5, dropped: 0 });
    expect(run.history[0]?.masking).toEqual({ shared: 5, delivered: 5, opened: 5 });
    expect(run.masking).toMatchObject({ clip: 8, valueBits: 24, weightMax: 1n, metrics: ['loss'], dropouts: 0.2 });
    expect(run.history[0]?.trainMetrics).toMatchObject([
      { key: 'loss', value: { value: { value: expect.closeTo(3, 4) } } },
    ]);
    expect(secagg.deeds).toEqual(['open 261', 'unmask 261 1 2 3 4 5', 'end 261']);
    expect(guards.every(({ verdict }) => verdict?.accepted)).toBe(true);
    expect(world.peers.logOf(runId)).toContain(
      'round 1/1, train: masked, 5 of 5 shared keys, 5 delivered, opened by 5',
    );
  });

  it('weighs answers by their examples, and goes on from round to round', async () => {
    const { world } = masked();
    const lines = 'aegis.secagg.weight-max = 50\naegis.secagg.max-examples = 50';
    const { runId } = await world.start(bundle(lines, 2));
    const run = await world.finished(runId);
    const first = meanOf(nodes, (node) => node * 10);
    const between: Arrays = {
      w: f4([2, 2], first.slice(0, 4)),
      scale: f4([], first.slice(4, 5)),
      seen: i8([], first.slice(5)),
    };
    expect(await values(world, run.modelId)).toEqual(close(meanOf(nodes, (node) => node * 10, between)));
  });

  it.each([
    ['before it advertised', 'silent'],
    ['before it shared its keys', 'advertises'],
    ['before its vector', 'shares'],
  ] as const)('goes on without a node that drops out %s', async (_, conduct) => {
    const clock = new FakeClock();
    const { world, secagg } = masked((node) => (node === 2n ? conduct : 'honest'), { clock });
    const { runId } = await world.start(bundle('aegis.selection.deadline = 60.0'));
    const finished = world.finished(runId);
    if (conduct === 'shares') {
      await eventually(() => {
        const accepted = [...(world.owner.owned(runId)?.current()?.members.values() ?? [])];
        if (accepted.filter(({ state }) => state === 'accepted').length < 4) throw new Error('not yet');
        return Promise.resolve();
      });
      await clock.advance(60_000);
    }
    const run = await finished;
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(await values(world, run.modelId)).toEqual(close(meanOf([1n, 3n, 4n, 5n])));
    expect(run.history[0]).toMatchObject({ cohort: 5, accepted: 4, dropped: 1 });
    expect(secagg.deeds).toEqual(['open 261', 'unmask 261 1 3 4 5', 'end 261']);
  });

  it('takes a vector that comes before the mailboxes have said that all tasks are in', async () => {
    const { world, guards, secagg } = masked();
    const { put } = world.peers.mailbox;
    const { promise: written, resolve } = Promise.withResolvers<void>();
    Object.assign(world.peers.mailbox, { put: (tasks: readonly Task[]) => put(tasks).then(() => written) });
    let looked = 0;
    const { open } = world.stores.intakes;
    Object.assign(world.stores.intakes, {
      open: async (...[room, model, epoch]: Parameters<typeof open>) => {
        const intake = await open.call(world.stores.intakes, room, model, epoch);
        const { check } = intake.masked;
        const looks: typeof check = async (...of) => {
          const verdict = await check.call(intake.masked, ...of);
          looked += 1;
          return verdict;
        };
        Object.assign(intake.masked, { check: looks });
        return intake;
      },
    });
    const { runId } = await world.start(bundle(''));
    await eventually(() => looked === nodes.length);
    for (let i = 0; i < 20; i += 1) await world.runs.listRuns({ runId, limit: 0, skip: 0 });
    resolve();
    await world.finished(runId);
    expect(guards.map(({ verdict }) => verdict?.accepted)).toEqual([true, true, true, true, true]);
    expect(secagg.deeds).toEqual(['open 261', 'unmask 261 1 2 3 4 5', 'end 261']);
  });

  it('opens the vector of a node that is gone afterwards', async () => {
    const { world } = masked((node) => (node === 2n ? 'delivers' : 'honest'));
    const { runId } = await world.start(bundle(''));
    const run = await world.finished(runId);
    expect(await values(world, run.modelId)).toEqual(close(meanOf(nodes)));
    expect(world.peers.logOf(runId)).toContain(
      'round 1/1, train: masked, 5 of 5 shared keys, 5 delivered, opened by 4',
    );
  });
});

describe('an evaluation', () => {
  it('is masked likewise: metrics alone, out of the sum', async () => {
    const { world, secagg } = masked((node, nth) => (node === 4n && nth === 2 ? 'silent' : 'honest'));
    const { runId, note } = await world.start(bundle('fraction-evaluate = 1.0'));
    expect(note).toMatch(/masked evaluate by 5 nodes or more/);
    const run = await world.finished(runId);
    expect(secagg.deeds).toEqual([
      'open 261',
      'unmask 261 1 2 3 4 5',
      'end 261',
      'open 262',
      'unmask 262 1 2 3 5',
      'end 262',
    ]);
    expect(run.history[0]).toMatchObject({ accepted: 5, evaluated: 4 });
    const [loss] = run.history[0]?.evaluateMetrics ?? [];
    expect(loss).toMatchObject({ key: 'loss', value: { value: { value: expect.closeTo(11 / 4, 4) } } });
    expect(secagg.rounds.get(`${runId}/262`)?.attempt.masking.length).toBe(6);
  });

  it('that too few take part in is left out, and the run goes on', async () => {
    const { world } = masked((node, nth) => (node >= 4n && nth === 2 ? 'silent' : 'honest'));
    const { runId } = await world.start(bundle('fraction-evaluate = 1.0'));
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(run.history[0]).toMatchObject({ accepted: 5, evaluated: 0, evaluateMetrics: [] });
    expect(world.peers.logOf(runId)).toContainEqual(expect.stringMatching(/evaluate: left out: .*3 advertised/));
  });
});

describe('a plan that cannot be masked', () => {
  const refusalOf = async (lines: string, change: (held: Masked) => void = () => {}): Promise<string> => {
    const held = masked();
    change(held);
    return held.world.start(bundle(lines)).then(
      () => 'it was taken',
      (error: Error) => error.message,
    );
  };

  it('is refused before anything leaves, with the key, its value and the arithmetic', async () => {
    const without = ({ world }: Masked) => {
      world.peers.secagg = null;
    };
    expect(await refusalOf('', without)).toMatch(
      /aegis\.secagg\.mode is "aegis", but this aggregator was started without/,
    );
    expect(await refusalOf('aegis.secagg.dropouts = 0.5')).toMatch(
      /cannot mask train by 5 nodes with dropouts 0\.5, .*2·4 > 5 \+ 1 but only 2 shareholders remain.*raise min-train-nodes/,
    );
    expect(
      await refusalOf(
        'aegis.secagg.value-bits = 32\naegis.secagg.weight-max = 4294967296\naegis.secagg.max-examples = 4294967296',
      ),
    ).toMatch(/weight-max 4294967296: .*62 bits/);
  });

  it('is refused where whole numbers have no range, or a range has no array', async () => {
    const bundled = (own: string) =>
      fab({
        config: `num-server-rounds = 1
min-train-nodes = 5
fraction-evaluate = 0.0
aegis.initial-model = "file:init.npz"
aegis.secagg.mode = "aegis"
${own}`,
        extra: [{ name: 'init.npz', content: initial }],
      });
    const { world } = masked();
    await expect(world.start(bundled(''))).rejects.toThrow(/own-clips must give the array "seen" a range/);
    await expect(world.start(bundled('aegis.secagg.own-clips = "seen:9,batches:9"'))).rejects.toThrow(
      /own-clips names the array "batches", which the model does not have/,
    );
  });

  it('with the defaults is one for less than four nodes', async () => {
    for (const [count, taken] of [
      [2, false],
      [3, false],
      [4, true],
      [7, true],
      [300, true],
      [1000, true],
    ] as const)
      expect(await refusalOf(`min-train-nodes = ${count}\nmin-available-nodes = ${count}`), String(count)).toEqual(
        taken ? 'it was taken' : expect.stringMatching(/shareholders remain/),
      );
  });
});

describe('a cohort that cannot be masked as it was drawn', () => {
  it('is asked less one', async () => {
    // of four nodes one may drop out, of five two, and three are too few
    const { world } = masked();
    const lines = 'aegis.secagg.dropouts = 0.25\nmin-train-nodes = 4\nmin-available-nodes = 4';
    const { runId } = await world.start(bundle(lines));
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(run.history[0]).toMatchObject({ cohort: 4, accepted: 4 });
  });
});

describe('nodes that cannot mask', () => {
  it('are not asked', async () => {
    const { world, guards } = masked();
    world.peers.setOnline([...nodes, 6n, 7n]);
    const { runId } = await world.start(bundle(''));
    const run = await world.finished(runId);
    expect(run.history[0]).toMatchObject({ cohort: 5, accepted: 5 });
    expect(guards.map(({ task }) => task.nodeId).sort()).toEqual(nodes);
  });
});

describe('too few', () => {
  it.each([
    ['share their keys', 'silent', ['open 261', 'end 261', 'open 265', 'unmask 265 1 2 3 4 5', 'end 265']],
    [
      'open',
      'confirms',
      ['open 261', 'unmask 261 1 2 3 4 5', 'end 261', 'open 265', 'unmask 265 1 2 3 4 5', 'end 265'],
    ],
  ] as const)('%s: nothing is used, and a new attempt has fresh keys', async (_, conduct, deeds) => {
    const { world, secagg } = masked((node, nth) => (node <= 2n && nth === 1 ? conduct : 'honest'));
    const { runId } = await world.start(bundle(''));
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(secagg.deeds).toEqual(deeds);
    expect(await values(world, run.modelId)).toEqual(close(meanOf(nodes)));
  });

  it('time and again: the run ends, and says why', async () => {
    const { world, secagg } = masked((node) => (node <= 2n ? 'silent' : 'honest'));
    const { runId } = await world.start(bundle(''));
    const run = await world.finished(runId);
    expect(run.run?.status).toMatchObject({
      subStatus: 'failed',
      details: expect.stringMatching(/3 advertised.*after 2 tries/),
    });
    expect(secagg.deeds).toEqual(['open 261', 'end 261', 'open 265', 'end 265']);
    expect(world.peers.tasks.size).toBe(0);
  });

  it('masks that do not cancel: nothing is used', async () => {
    const { world, secagg } = masked();
    let times = 0;
    secagg.tamper = (mask) => {
      times += 1;
      if (times > 1) return mask;
      const other = Buffer.from(mask);
      other[0] = (other[0] ?? 0) ^ 1;
      return other;
    };
    const { runId } = await world.start(bundle(''));
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(await values(world, run.modelId)).toEqual(close(meanOf(nodes)));
    expect(world.peers.logOf(runId)).toContainEqual(expect.stringMatching(/not the sum of as many honest answers/));
  });
});

describe('a run that is stopped while its masks are opened', () => {
  it('ends at once, also when the secagg service does not answer', async () => {
    const clock = new FakeClock();
    const { world, secagg } = masked(() => 'honest', { clock });
    const asked = Promise.withResolvers<void>();
    secagg.unmask = async () => {
      asked.resolve();
      throw new AegisError('UNAVAILABLE');
    };
    const { runId } = await world.start(bundle(''));
    await asked.promise;
    const stopped = world.runs.stopRun({ runId });
    await clock.advance(1_000);
    await stopped;
    expect((await world.finished(runId)).run?.status?.subStatus).toBe('stopped');
    expect(secagg.deeds).toEqual(['open 261', 'end 261']);
  });
});

describe('what is not masked as the task says', () => {
  it('is refused, and not looked at', async () => {
    const { world, guards } = masked((node) => (node === 1n ? 'shares' : 'honest'));
    const { runId } = await world.start(bundle(''));
    const task = await eventually(() => {
      const found = guards.find((guard) => guard.task.nodeId === 1n)?.task;
      return found === undefined ? Promise.reject(new Error('no task')) : Promise.resolve(found);
    });
    const inTheClear = await answer(
      world.channel,
      { ...task, modelId: task.modelId ?? '' },
      { arrays: start, weight: 1 },
    );
    expect(inTheClear).toMatchObject({ accepted: false, refusalCode: 'ANSWER_NOT_MASKED' });
    const run = await world.finished(runId);
    expect(run.history[0]).toMatchObject({ accepted: 4, refused: 1 });
  });

  it('or is no vector of these terms', async () => {
    const { world, guards } = masked((node) => (node === 1n ? 'shares' : 'honest'));
    const { runId } = await world.start(bundle(''));
    const guard = await eventually(() => {
      const found = guards.find(({ task }) => task.nodeId === 1n);
      return found === undefined ? Promise.reject(new Error('no task')) : Promise.resolve(found);
    });
    const bytes = packedBytes(guard.task.masking as never);
    expect(await guard.deliver(Buffer.alloc(bytes + 1))).toMatchObject({
      accepted: false,
      refusalCode: 'UPDATE_TENSOR_MALFORMED',
    });
    await world.finished(runId);
  });

  it('comes from a node that did not share its keys: it would spoil the sum', async () => {
    const { world, guards } = masked((node) => (node === 2n ? 'advertises' : 'honest'));
    const { runId } = await world.start(bundle(''));
    const guard = await eventually(() => {
      const found = guards.find(({ task }) => task.nodeId === 2n);
      return found === undefined ? Promise.reject(new Error('no task')) : Promise.resolve(found);
    });
    const bytes = packedBytes(guard.task.masking as never);
    const verdict = guard.deliver(Buffer.alloc(bytes)).catch((error: { code: string }) => error.code);
    const run = await world.finished(runId);
    expect(await verdict).not.toMatchObject({ accepted: true });
    expect(await values(world, run.modelId)).toEqual(close(meanOf([1n, 3n, 4n, 5n])));
  });
});

describe('a crash', () => {
  /** The aggregator dies at its n-th write, and another goes on. Whether it died, and how the run ended. */
  const crashed = async (dieAt: number, when: 'before' | 'after') => {
    const held = masked();
    const { world } = held;
    held.life = new Life(dieAt, when);
    Object.assign(world.ground, {
      stores: mortalStores(world.stores, held.life),
      peers: mortalPeers(world.peers, held.life),
    });
    const next = held.life.ending.catch(async () => {
      held.world = new World({ stores: world.stores }, world.peers);
      held.life = new Life(0, 'before');
      await held.world.owner.start();
    });
    const runs = world.stores.runs;
    const started = world.start(bundle('')).then(({ runId }) => runId);
    // a run that was not written down was never started
    const runId = await Promise.race([started, next.then(async () => (await runs.list())[0]?.runId ?? null)]);
    if (runId === null) return { died: true, held, run: null };
    const ended = world.finished(runId).catch(() => null);
    const run = await Promise.race([ended, next.then(() => held.world.finished(runId))]);
    return { died: held.world !== world, held, run };
  };

  it.each(['before', 'after'] as const)(
    'at any write, %s it: the same model, opened once',
    async (when) => {
      let writes = 0;
      for (let dieAt = 1; ; dieAt += 1) {
        const { died, held, run } = await crashed(dieAt, when);
        if (run !== null) {
          const of = `crash ${when} write ${dieAt}`;
          expect(run?.run?.status?.subStatus, of).toBe('completed');
          expect(await values(held.world, run?.modelId ?? ''), of).toEqual(close(meanOf(nodes)));
          // whatever was asked again was asked for the same survivors, and what was opened is ended
          const { deeds, rounds } = held.secagg;
          const unmasked = deeds.filter((deed) => deed.startsWith('unmask'));
          expect(new Set(unmasked).size, of).toBe(new Set(unmasked.map((deed) => deed.split(' ')[1])).size);
          await eventually(async () => {
            const open = [...rounds.values()].filter(({ ended }) => ended === null);
            if (open.length > 0) throw new Error(`${of}: ${open.length} attempts were not ended`);
          });
          await held.world.owner.drain();
        }
        if (!died) break;
        writes = dieAt;
      }
      expect(writes).toBeGreaterThan(25);
    },
    120_000,
  );
});
