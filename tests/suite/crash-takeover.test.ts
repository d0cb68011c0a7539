// Two of each: an owner that is paused in the middle of a round, and a gateway that dies in the middle of an upload.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { npyOf } from '../../services/gateway/src/testing/npy.ts';
import { SimulatedNode } from '../../services/gateway/src/testing/simulated-node.ts';
import { Cluster, type Service } from './cluster.ts';
import { apps, bundle, fleet, undisturbed } from './crash-app.ts';
import { examples, WorkingNode } from './nodes.ts';

const ROUNDS = 2;
let expected: string;
beforeAll(async () => {
  expected = await undisturbed(ROUNDS);
});

/** Every file of one epoch of a run's rooms, with a digest of its bytes. */
const filesOf = async (state: string, runId: bigint, epoch: number): Promise<Map<string, string>> => {
  const folder = join(state, 'intake', String(runId));
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = new Map<string, string>();
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || !path.includes(`/epoch-${epoch}/segment-`)) continue;
    files.set(
      path,
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    );
  }
  return files;
};

describe('two aggregators on one volume', () => {
  let cluster: Cluster;
  let nodes: WorkingNode[];
  beforeAll(async () => {
    cluster = await Cluster.start({ aggregators: 2 });
  });
  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    await cluster.close();
  });

  it('go on without an owner that is paused, and it counts, writes and acknowledges nothing when it wakes', async () => {
    // the third node's app waits: the round stays open until the paused owner has had its say
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    let isHeld = false;
    nodes = await fleet([cluster.target()], (app, i) => async (offer, received, node) => {
      if (i === 2) {
        isHeld = true;
        await released;
      }
      return app(offer, received, node);
    });
    const runId = await cluster.startRun(bundle(ROUNDS));
    await eventually(() => isHeld && nodes.slice(0, 2).every(({ outcomes }) => outcomes.length > 0));

    const before = await leaseOf(runId);
    const owner = ownerAt(before.address);
    const other = cluster.aggregators.find((one) => one !== owner) as Service;
    const state = join(cluster.folder, 'state');
    owner.pause();
    // sent to the paused one: it reads this when it wakes
    const part = Buffer.from('a part that comes too late');
    const partId = createHash('sha256').update(part).digest('hex');
    const task = await openTask(runId);
    const late = cluster.intake(owner).appendPart({ task, partId, content: part }, { timeoutMs: 100_000 });
    const missing = cluster.intake(owner).missingParts({ task, partIds: [partId] }, { timeoutMs: 100_000 });
    const answers = Promise.allSettled([late, missing]);

    await eventually(async () => (await leaseOf(runId)).epoch > before.epoch);
    const after = await leaseOf(runId);
    expect(after).toMatchObject({ address: `127.0.0.1:${other.port}`, volume: before.volume, epoch: before.epoch + 1 });
    // the new owner answers, and knows what the old one acknowledged
    await eventually(async () => (await cluster.intake(other).missingParts({ task, partIds: [partId] })).partIds);
    await eventually(() => other.log().includes('a run was taken over: its owner did not renew its lease'));

    const written = await filesOf(state, runId, before.epoch);
    expect(written.size).toBeGreaterThan(0);
    owner.resume();
    const refusal = { status: 'rejected', reason: { code: 'UNAVAILABLE' } };
    expect(await answers).toMatchObject([refusal, refusal]);
    await eventually(() => owner.log().includes('the run has another owner now'));
    expect(await filesOf(state, runId, before.epoch)).toEqual(written);
    expect((await leaseOf(runId)).address).toBe(after.address);

    release();
    const run = await cluster.finished(runId);
    expect(run.history.map(({ accepted, dropped }) => [accepted, dropped])).toEqual(Array(ROUNDS).fill([3, 0]));
    expect(run.modelId).toBe(expected);
  });

  const ownerAt = (address: string): Service => {
    const owner = cluster.aggregators.find(({ port }) => address.endsWith(`:${port}`));
    if (owner === undefined) throw new Error(`nobody is at ${address}`);
    return owner;
  };
  const leaseOf = async (runId: bigint): Promise<{ address: string; epoch: number; volume: string }> => {
    const entry = await (await bus()).get(String(runId));
    return JSON.parse(String(entry?.value)).value;
  };
  const bus = async () => (await connected()).bucket('leases');
  const tasks = async () => (await connected()).bucket('tasks');
  let connection: ReturnType<Cluster['nats']['connect']> | undefined;
  const connected = () => {
    connection ??= cluster.nats.connect();
    return connection;
  };
  /** The one that was not answered. */
  const openTask = async (runId: bigint) => {
    for await (const { key } of (await tasks()).entries()) {
      const [nodeId = '', taskId = ''] = key.split('.');
      return { taskId, runId, nodeId: BigInt(nodeId) };
    }
    throw new Error('no task is open');
  };
});

describe('a run whose volume is lost', () => {
  it('waits, and goes on at another volume from its checkpoint when the operator says so', async () => {
    const stateOf = (index: number, folder: string) => join(folder, `state-${index}`);
    const cluster = await Cluster.start({ aggregators: 2, stateOf });
    const working: WorkingNode[] = [];
    try {
      const runId = await cluster.startRun(bundle(ROUNDS));
      const bucket = await (await cluster.nats.connect()).bucket('leases');
      const addressOf = async (id: bigint) => JSON.parse(String((await bucket.get(String(id)))?.value)).value.address;
      const address = await addressOf(runId);
      const lost = cluster.aggregators.find(({ port }) => address.endsWith(`:${port}`)) as Service;
      const here = cluster.aggregators.find((one) => one !== lost) as Service;
      await lost.kill();
      // its app and first model are not here: that is said, and nothing is spoilt
      await eventually(async () => {
        const refused = await cluster
          .runs(here)
          .takeOverRun({ runId })
          .catch((error: unknown) => error);
        return (refused as { code?: string }).code === 'MODEL_NOT_FOUND';
      });
      const brings = await cluster.startRun(bundle(ROUNDS));
      expect(await addressOf(brings)).toBe(`127.0.0.1:${here.port}`);
      await cluster.runs(here).takeOverRun({ runId });
      await eventually(() => here.log().includes('a run was taken from a volume that is lost'));
      working.push(...(await fleet([cluster.target()])));
      const run = await cluster.finished(runId);
      expect(run.run?.status?.subStatus, cluster.logs()).toBe('completed');
      expect(run.modelId).toBe(expected);
    } finally {
      await Promise.all(working.map((node) => node.kill()));
      await cluster.close();
    }
  });
});

describe('two gateways', () => {
  it('share their nodes: an upload that one did not live to finish goes on at the other', async () => {
    const cluster = await Cluster.start({ gateways: 2 });
    const nodes: WorkingNode[] = [];
    try {
      // two work at the second gateway; the third comes to the first, which will die
      for (const app of apps.slice(1)) {
        const node = new WorkingNode(cluster.target(1), 'A', app);
        nodes.push(node);
        await node.start();
      }
      const node = new SimulatedNode(cluster.target(0));
      await node.start();
      const runId = await cluster.startRun(bundle(1));
      const offer = await node.work();
      await node.fetch(offer);
      const values = Array.from({ length: 20_000 }, () => 0.5);
      const reply = node.reply(offer, { arrays: new Map([['w', npyOf(values)]]), metrics: [examples(7)] });
      const { wanted, session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 0.1);
      expect(wanted.length).toBeGreaterThan(1);
      expect(await node.pushPart(reply, wanted[0] ?? '', session)).toBe(true);
      await cluster.gateways[0]?.kill();

      const moved = new SimulatedNode(cluster.target(1), 'A', node.key);
      moved.nodeId = node.nodeId;
      node.close();
      // what was stored is not asked for again, and what was not goes on under the old session
      const again = await moved.messages.announce(moved.nodeId, reply.head, reply.tree, 0.1);
      expect(again.wanted).toEqual(wanted.slice(1));
      for (const id of wanted.slice(1)) expect(await moved.pushPart(reply, id, session)).toBe(true);
      const run = await cluster.finished(runId);
      expect(run.history.map(({ accepted }) => accepted)).toEqual([3]);
      moved.close();
    } finally {
      await Promise.all(nodes.map((one) => one.kill()));
      await cluster.close();
    }
  });
});
