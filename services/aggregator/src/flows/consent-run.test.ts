// Runs that ask nodes for consent, on in-memory stores and peers.
import { eventually } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import type { Task } from '../peers/contract.ts';
import { writeNpy, writeNpz } from '../store/memory/npy.ts';
import { fab } from '../testing/bundles.ts';
import { type Arrays, f4, type Reply } from '../testing/simulated-node.ts';
import { World } from '../testing/world.ts';

const initial = writeNpz([{ name: 'w', npy: writeNpy(f4([1], [0])) }]);
const bundle = fab({
  config: [
    'num-server-rounds = 2\nmin-available-nodes = 2\nmin-train-nodes = 2\nfraction-evaluate = 0.0',
    'aegis.initial-model = "file:init.npz"\naegis.consent.purpose = "ecg"\naegis.consent.version = "v2"',
  ].join('\n'),
  extra: [{ name: 'init.npz', content: initial }],
});
const yes = [{ to: 'purpose:ecg', version: 'v2', given: true }];
const old = [{ to: 'purpose:ecg', version: 'v1', given: true }];
const no = [{ to: 'purpose:ecg', version: 'v2', given: false }];
const learn = (_: Task, model: Arrays): Reply => ({ arrays: { w: f4([1], [...(model.w?.values ?? [])]) }, weight: 1 });
const asked = (world: World): bigint[] => [...world.peers.tasks.values()].map(({ nodeId }) => nodeId).sort();
const isAsked = (world: World, nodes: bigint[]) => eventually(() => expect(asked(world)).toEqual(nodes));
const logOf = (world: World, runId: bigint) => world.peers.logOf(runId).join('\n');

describe('a run that asks for consent', () => {
  it('says so, and asks nobody who did not agree to this text', async () => {
    const world = new World();
    world.peers.setOnline([1n, 2n, 3n]);
    world.peers.setConsent([1n], yes);
    world.peers.setConsent([2n], old);
    const { runId, note } = await world.start(bundle);
    expect(note).toContain('only nodes that consented to ecg, version v2');
    await eventually(() =>
      expect(logOf(world, runId)).toContain('1 online (and 2 that did not consent to it), 2 needed'),
    );
    expect(asked(world)).toEqual([]);
    world.peers.setConsent([3n], yes);
    await isAsked(world, [1n, 3n]);
    world.answerWith(learn);
    for (const task of world.peers.tasks.values()) await world.answerTask(task, learn);
    const run = await world.finished(runId);
    expect(run.consent).toEqual({ purpose: 'ecg', version: 'v2' });
    expect(run.history.map(({ cohort, accepted }) => [cohort, accepted])).toEqual([
      [2, 2],
      [2, 2],
    ]);
  });

  it('takes the open task back from whoever withdraws, and keeps what was answered before', async () => {
    const world = new World();
    world.peers.setOnline([1n, 2n, 3n]);
    world.peers.setConsent([1n, 2n, 3n], yes);
    const { runId } = await world.start(bundle);
    await isAsked(world, [1n, 2n, 3n]);
    const taskOf = (node: bigint) => [...world.peers.tasks.values()].find(({ nodeId }) => nodeId === node) as Task;
    const [first, third] = [taskOf(1n), taskOf(3n)];
    await world.answerTask(first, learn);
    world.peers.setConsent([1n, 3n], no);
    await isAsked(world, [2n]);
    expect(logOf(world, runId)).toContain('node 3 dropped: it does not consent any more');
    await expect(world.answerTask(third, learn)).rejects.toMatchObject({ code: expect.stringMatching(/TASK|ROUND/) });
    world.peers.setConsent([3n], yes);
    await world.answerTask(taskOf(2n), learn);
    // the next round begins without who withdrew for good
    await isAsked(world, [2n, 3n]);
    const { history } = (await world.runs.listRuns({ runId, limit: 0, skip: 0 })).runs[0] ?? expect.fail('no run');
    expect(history.map(({ cohort, accepted, dropped }) => [cohort, accepted, dropped])).toEqual([[3, 2, 1]]);
  });

  it('does not select by what was true a moment ago', async () => {
    const world = new World();
    world.peers.setConsent([1n, 2n, 3n], yes);
    world.peers.setConsent([2n], no, { late: true });
    world.peers.setOnline([1n, 2n, 3n]);
    await world.start(bundle);
    await isAsked(world, [1n, 3n]);
  });

  it('goes on without who withdrew while no aggregator was there', async () => {
    const world = new World();
    world.peers.setOnline([1n, 2n, 3n]);
    world.peers.setConsent([1n, 2n, 3n], yes);
    const { runId } = await world.start(bundle);
    await isAsked(world, [1n, 2n, 3n]);
    const next = await world.restart();
    world.peers.setConsent([3n], no);
    await isAsked(next, [1n, 2n]);
    next.answerWith(learn);
    for (const task of [...next.peers.tasks.values()]) await next.answerTask(task, learn);
    expect((await next.finished(runId)).history.map(({ cohort }) => cohort)).toEqual([3, 2]);
  });

  it('a node may decline one run and agree to others of the purpose', async () => {
    const world = new World();
    world.peers.setOnline([1n, 2n, 3n]);
    world.peers.setConsent([1n, 2n], yes);
    const { runId } = await world.start(bundle);
    await isAsked(world, [1n, 2n]);
    world.peers.setConsent([3n], yes);
    world.peers.setConsent([2n], [...yes, { to: `run:${runId}`, version: '', given: false }]);
    await eventually(() => expect(logOf(world, runId)).toContain('node 2 dropped: it does not consent any more'));
    await isAsked(world, [1n, 3n]);
  });
});
