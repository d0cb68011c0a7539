// Runs that are masked and private at once: guards that mask and add noise with the core, an aggregator on in-memory stores, a ledger that keeps
// what it is told. Paid before anybody is asked, with the noise of the fewest; committed with the noise of those who are in the sum.
import { epsilonOf, type PrivacyEvent } from '@aegis/core-native';
import { eventually } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import type { Task } from '../peers/contract.ts';
import { MemoryPeers } from '../peers/memory/index.ts';
import { MemoryLedger } from '../peers/memory/ledger.ts';
import { writeNpy, writeNpz } from '../store/memory/npy.ts';
import { fab } from '../testing/bundles.ts';
import { Life, mortalPeers, mortalStores } from '../testing/mortal.ts';
import { ScriptedSecagg } from '../testing/scripted-secagg.ts';
import { type Conduct, SimulatedGuard } from '../testing/simulated-guard.ts';
import { type Arrays, f4, readModelArrays } from '../testing/simulated-node.ts';
import { World } from '../testing/world.ts';

const nodes = [1n, 2n, 3n, 4n, 5n];
const initial = writeNpz([{ name: 'w', npy: writeNpy(f4([4], [10, -10, 0.5, 0])) }]);
/** So little noise that sums can be read, and a budget that does not mind. */
const quiet = 'aegis.privacy.noise-multiplier = 1e-3\naegis.privacy.epsilon = 1e12';
const bundle = (lines = quiet, rounds = 1) =>
  fab({
    config: `num-server-rounds = ${rounds}
min-train-nodes = 5
min-available-nodes = 5
fraction-evaluate = 0.0
aegis.initial-model = "file:init.npz"
aegis.secagg.mode = "aegis"
${lines.includes('value-bits') ? '' : 'aegis.secagg.value-bits = 24'}
aegis.privacy.unit = "node"
aegis.privacy.clip = 2.0
${lines}`,
    extra: [{ name: 'init.npz', content: initial }],
  });

/** Node n moves the first weight by n/4. */
const learn = (task: Task, model: Arrays) => ({
  arrays: {
    w: f4(
      [4],
      (model.w?.values ?? []).map((value, at) => value + (at === 0 ? Number(task.nodeId) / 4 : 0)),
    ),
  },
});

interface Held {
  world: World;
  life: Life;
  readonly ledger: MemoryLedger;
  readonly secagg: ScriptedSecagg;
  readonly guards: SimulatedGuard[];
  /** Tasks that came while nothing was reserved for them. */
  readonly unpaid: string[];
}

function held(conduct: (node: bigint, nth: number) => Conduct = () => 'honest', ledger = new MemoryLedger()): Held {
  const world = new World({}, new MemoryPeers(ledger));
  const secagg = new ScriptedSecagg();
  world.peers.secagg = secagg;
  const all: Held = { world, life: new Life(0, 'before'), ledger, secagg, guards: [], unpaid: [] };
  const stages = ['silent', 'advertises', 'shares', 'delivers', 'confirms', 'honest'] as const;
  const least = { advertise: 1, share: 2, confirm: 4, unmask: 5 } as const;
  const conducts = new Map<string, Conduct>();
  const given = new Map<bigint, number>();
  secagg.isAbsent = (node, stage, round) => stages.indexOf(conducts.get(`${node}/${round}`) ?? 'honest') < least[stage];
  world.peers.onTask = (task) => {
    const attempt = Math.floor(((task.masking?.round ?? 0) >> 2) % 64);
    const key = `${task.runId}/${task.round}/${attempt}/train`;
    if (!ledger.deeds.some((deed) => deed.did === 'reserve' && deed.key === key)) all.unpaid.push(key);
    const nth = (given.get(task.nodeId) ?? 0) + 1;
    given.set(task.nodeId, nth);
    const how = conduct(task.nodeId, nth);
    conducts.set(`${task.nodeId}/${task.masking?.round}`, how);
    const guard = new SimulatedGuard(
      task,
      secagg,
      () => all.world.channel,
      () => all.life.ending,
    );
    all.guards.push(guard);
    void Promise.resolve()
      .then(() => guard.play(learn, how))
      .catch(() => {});
  };
  world.peers.setOnline(nodes);
  for (const node of nodes) {
    world.peers.masks.add(node);
    world.peers.units.set(node, `k-${node}`);
  }
  return all;
}

const deeds = ({ ledger }: Held): string[] =>
  ledger.deeds.map(({ did, key }) => `${did} ${key.split('/').slice(1).join('/')}`);
const eventsOf = ({ ledger }: Held, did: string): Record<string, number>[] =>
  ledger.deeds.filter((deed) => deed.did === did).map(({ events = [] }) => JSON.parse(events[0] ?? '{}'));
const values = async (world: World, modelId: string): Promise<number[]> => [
  ...((await readModelArrays(world.channel, modelId)).w?.values ?? []),
];
/** The noise of five shares in a fifth of their sum is 1e-3 · 2 · √(5/3) / 5 an element: ten deviations are 0.006. */
const near = (...expected: number[]) => expected.map((value) => expect.closeTo(value, 1.5));

describe('a run that is masked and private', () => {
  it('divides what all say, and its noise, by those who were asked', async () => {
    const all = held();
    const { runId, note } = await all.world.start(bundle());
    expect(note).toMatch(
      /each node adds noise of σ [\d.]+ steps to each of 4 elements .*counted are the shares of 3 honest nodes, the 4 in a sum of 5 less 1/,
    );
    expect(note).toMatch(/sums of 5 × 1 × 8388607 \+ noise \d+ take \d+ bits/);
    const run = await all.world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    // 10 + (1 + 2 + 3 + 4 + 5) / 4 / 5
    expect(await values(all.world, run.modelId)).toEqual(near(10.75, -10, 0.5, 0));
    expect(deeds(all)).toEqual(['reserve 1/1/train', 'commit 1/1/train']);
    expect(all.ledger.deeds[1]?.digest).toBe(run.modelId);
    expect(all.unpaid).toEqual([]);
    expect(run.history[0]?.masking).toEqual({ shared: 5, delivered: 5, opened: 5 });
    expect(run.history[0]?.trainMetrics).toEqual([]);
    expect(all.guards[0]?.task.masking?.grid).toMatchObject({ normClip: 2, clip: 2, metrics: [] });
    expect(run.privacy).toMatchObject({ unit: 'node', clip: 2, sampling: 'none' });
  });

  it('pays for the fewest honest nodes, and commits with those who are in the sum', async () => {
    const all = held();
    await all.world.finished((await all.world.start(bundle())).runId);
    const [reserved] = eventsOf(all, 'reserve');
    const [committed] = eventsOf(all, 'commit');
    const { noiseSigma } = all.guards[0]?.task.masking?.grid ?? {};
    expect(reserved).toMatchObject({
      ...{ mechanism: 'distributed-discrete-gaussian', parties: 3, 'local-grid-sigma': noiseSigma, dimension: 4 },
      ...{ relation: 'zero-out', sampling: { kind: 'none' }, count: 1, unit: 'node' },
    });
    expect(reserved?.['noise-multiplier']).toBeGreaterThanOrEqual(1e-3);
    // five in the sum, one of whom may work with the server
    expect(committed).toMatchObject({ ...reserved, parties: 4, 'noise-multiplier': expect.any(Number) });
    const more = (committed?.['noise-multiplier'] ?? 0) / (reserved?.['noise-multiplier'] ?? 1);
    expect(more).toBeLessThanOrEqual(Math.sqrt(4 / 3));
    expect(more).toBeCloseTo(Math.sqrt(4 / 3), 9);
  });

  it('keeps its denominator, and what was paid for, when a node drops out', async () => {
    const all = held((node) => (node === 5n ? 'advertises' : 'honest'));
    const run = await all.world.finished((await all.world.start(bundle())).runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(run.history[0]).toMatchObject({ cohort: 5, accepted: 4 });
    // 10 + (1 + 2 + 3 + 4) / 4 / 5
    expect(await values(all.world, run.modelId)).toEqual(near(10.5, -10, 0.5, 0));
    expect(eventsOf(all, 'commit')).toEqual(eventsOf(all, 'reserve'));
  });

  it('is given the least noise with which all its rounds fit, by the same ledger', async () => {
    const all = held();
    const { runId } = await all.world.start(bundle('aegis.privacy.epsilon = 8.0', 2));
    const run = await all.world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(deeds(all)).toEqual(['reserve 1/1/train', 'commit 1/1/train', 'reserve 2/1/train', 'commit 2/1/train']);
    const noise = eventsOf(all, 'reserve').map((event) => event['noise-multiplier'] ?? 0);
    expect(new Set(noise).size).toBe(1);
    const spent = all.ledger.spent({ runId, delta: 1e-5 });
    expect(spent).toBeLessThanOrEqual(8);
    expect(spent).toBeGreaterThan(7.99);
  });

  it('asks nobody whom the ledger does not cover', async () => {
    const ledger = new MemoryLedger();
    const all = held(() => 'honest', ledger);
    const { runId } = await all.world.start(bundle('aegis.privacy.epsilon = 1.0', 2));
    ledger.reserve = async () => ({ granted: false, refusal: 'another run was first' });
    const run = await all.world.finished(runId);
    expect(run.run?.status).toMatchObject({ subStatus: 'failed', details: expect.stringContaining('another run') });
    expect(all.secagg.deeds.filter((deed) => !deed.startsWith('end'))).toEqual([]);
    expect(all.guards).toEqual([]);
  });

  it('gets back what was reserved where too few shared their keys: nothing was opened', async () => {
    const all = held((node, nth) => (node <= 2n && nth === 1 ? 'silent' : 'honest'));
    const run = await all.world.finished((await all.world.start(bundle())).runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(deeds(all)).toEqual(['reserve 1/1/train', 'release 1/1/train', 'reserve 1/2/train', 'commit 1/2/train']);
    expect(all.unpaid).toEqual([]);
  });

  it('gets nothing back once the sum was to be opened, whatever came of that', async () => {
    const all = held((node, nth) => (node <= 2n && nth === 1 ? 'confirms' : 'honest'));
    const run = await all.world.finished((await all.world.start(bundle())).runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(deeds(all)).toEqual(['reserve 1/1/train', 'reserve 1/2/train', 'commit 1/2/train']);
  });

  it('is refused where nobody honest is sure to be in a sum, or no share fits the grid', async () => {
    const refusalOf = (lines: string) =>
      held()
        .world.start(bundle(lines))
        .then(
          () => 'it was taken',
          (error: Error) => error.message,
        );
    expect(await refusalOf(`${quiet}\naegis.secagg.value-bits = 4`)).toMatch(/no share of noise fits this grid/);
    expect(await refusalOf('aegis.privacy.noise-multiplier = 1e9\naegis.privacy.epsilon = 1.0')).toMatch(
      /62 bits|share/,
    );
  });
});

describe('a crash of a run that is masked and private', () => {
  const crashed = async (dieAt: number, when: 'before' | 'after') => {
    const all = held();
    const { world } = all;
    all.life = new Life(dieAt, when);
    Object.assign(world.ground, {
      stores: mortalStores(world.stores, all.life),
      peers: mortalPeers(world.peers, all.life),
    });
    const next = all.life.ending.catch(async () => {
      all.world = new World({ stores: world.stores }, world.peers);
      all.life = new Life(0, 'before');
      await all.world.owner.start();
    });
    const runs = world.stores.runs;
    const started = world.start(bundle()).then(({ runId }) => runId);
    const runId = await Promise.race([started, next.then(async () => (await runs.list())[0]?.runId ?? null)]);
    if (runId === null) return { died: true, all, run: null };
    const ended = world.finished(runId).catch(() => null);
    const run = await Promise.race([ended, next.then(() => all.world.finished(runId))]);
    return { died: all.world !== world, all, run };
  };

  it.each(['before', 'after'] as const)(
    'at any write, %s it: nobody is asked unpaid, one model is committed, and it is the one that is there',
    async (when) => {
      let writes = 0;
      for (let dieAt = 1; ; dieAt += 1) {
        const { died, all, run } = await crashed(dieAt, when);
        if (run !== null) {
          const of = `crash ${when} write ${dieAt}`;
          expect(run?.run?.status?.subStatus, of).toBe('completed');
          expect(await values(all.world, run?.modelId ?? ''), of).toEqual(near(10.75, -10, 0.5, 0));
          expect(all.unpaid, of).toEqual([]);
          const committed = all.ledger.deeds.filter(({ did }) => did === 'commit');
          expect(
            committed.map(({ digest }) => digest),
            of,
          ).toEqual([run?.modelId]);
          // what was released was never opened
          const released = all.ledger.deeds.filter(({ did }) => did === 'release').map(({ key }) => key.split('/')[2]);
          const opened = all.secagg.deeds.filter((deed) => deed.startsWith('unmask')).map((deed) => deed.split(' ')[1]);
          for (const attempt of released) expect(opened, of).not.toContain(String((64 + Number(attempt)) * 4 + 1));
          await eventually(async () => {
            const open = [...all.secagg.rounds.values()].filter(({ ended }) => ended === null);
            if (open.length > 0) throw new Error(`${of}: ${open.length} attempts were not ended`);
          });
          await all.world.owner.drain();
        }
        if (!died) break;
        writes = dieAt;
      }
      expect(writes).toBeGreaterThan(27);
    },
    120_000,
  );
});

describe('the event of a round', () => {
  it('costs what the accountant says, and more noise less', async () => {
    const all = held();
    await all.world.finished((await all.world.start(bundle('aegis.privacy.epsilon = 8.0'))).runId);
    const cost = async (did: string) =>
      (await epsilonOf(eventsOf(all, did) as unknown as PrivacyEvent[], 1e-5)).epsilon;
    expect(await cost('commit')).toBeLessThan(await cost('reserve'));
  });
});
