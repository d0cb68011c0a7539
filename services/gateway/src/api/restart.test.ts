import { AegisError } from '@aegis/errors';
import { createTelemetry } from '@aegis/service-kit';
import { eventually, startTestNats, withNats } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DurableUploadStore } from '../store/durable-uploads.ts';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import { NodeKey } from '../testing/node-key.ts';
import { npyOf } from '../testing/npy.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import type { FlowerDialect, SimulatedNode } from '../testing/simulated-node.ts';
import { rawHttp, type Target } from '../testing/wire-client.ts';

const nats = withNats();
let aggregator: ScriptedAggregator;
let fixture: GatewayFixture;

beforeEach(async () => {
  aggregator = new ScriptedAggregator();
  fixture = await GatewayFixture.open(nats(), aggregator);
});
afterEach(() => fixture.close());

/** How many tasks this gateway has heard of that were not withdrawn. */
const openTasks = async (target: Target): Promise<number> => {
  const page = await rawHttp(target, undefined, { path: '/metrics', method: 'GET' });
  return Number(/aegis_gateway_open_tasks(?:\{[^}]*\})? (\d+)/.exec(page.toString())?.[1]);
};

const metrics = [{ key: 'num-examples', value: { kind: 'integer', value: 3n } }] as const;
const replyOf = async (node: SimulatedNode) =>
  node.reply(await node.work(), {
    arrays: new Map([
      ['w', npyOf([1, 2, fixture.next()])],
      ['b', npyOf([1])],
    ]),
    metrics: [...metrics],
  });

describe.each<FlowerDialect>(['A', 'B'])('an upload of dialect %s', (dialect) => {
  it.each(['after a restart', 'at a second gateway'])('goes on %s, where it was', async (how) => {
    const first = await fixture.gateway();
    const key = new NodeKey();
    const node = fixture.node(first.target, dialect, key);
    await node.start();
    await fixture.task(node.nodeId);
    const reply = await replyOf(node);
    const { wanted, session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
    const half = Math.floor(wanted.length / 2);
    for (const id of wanted.slice(0, half)) expect(await node.pushPart(reply, id, session)).toBe(true);

    if (how === 'after a restart') await first.close();
    const second = await fixture.gateway();
    const again = fixture.node(second.target, dialect, key);
    again.nodeId = node.nodeId;
    for (const id of wanted.slice(half)) expect(await again.pushPart(reply, id, session)).toBe(true);
    expect(aggregator.submitted).toHaveLength(1);
    expect(aggregator.submitted[0]?.tensors.map(({ name }) => name)).toEqual(['w', 'b']);
  });

  it('may be announced again after a restart, and wants only what is missing', async () => {
    const first = await fixture.gateway();
    const key = new NodeKey();
    const node = fixture.node(first.target, dialect, key);
    await node.start();
    await fixture.task(node.nodeId);
    const reply = await replyOf(node);
    const { wanted, session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
    await node.pushPart(reply, wanted[0] ?? '', session);
    await first.close();
    const again = fixture.node((await fixture.gateway()).target, dialect, key);
    again.nodeId = node.nodeId;
    const next = await again.messages.announce(again.nodeId, reply.head, reply.tree, 1);
    expect(next).toEqual({ wanted: wanted.slice(1), session });
  });

  it('is accepted under a session nobody remembers, while its parts are announced', async () => {
    const gateway = await fixture.gateway();
    const node = fixture.node(gateway.target, dialect);
    await node.start();
    await fixture.task(node.nodeId);
    const reply = await replyOf(node);
    const { wanted } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
    for (const id of wanted) expect(await node.pushPart(reply, id, 'a session long expired')).toBe(true);
    expect(aggregator.submitted).toHaveLength(1);
  });

  it('is answered alike when its last push is repeated, before and after a restart', async () => {
    const first = await fixture.gateway();
    const key = new NodeKey();
    const node = fixture.node(first.target, dialect, key);
    await node.start();
    const task = await fixture.task(node.nodeId);
    const reply = await replyOf(node);
    const { wanted, session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
    for (const id of wanted) await node.pushPart(reply, id, session);
    // the verdict is written down behind the answer
    const uploads = await DurableUploadStore.open(first.bus);
    await eventually(async () => (await uploads.find(node.nodeId, task.taskId))?.verdict ?? false);
    aggregator.tasks.set(task.taskId, 'TASK_ANSWERED');
    await fixture.withdraw(task);
    const last = wanted.at(-1) ?? '';
    expect(await node.pushPart(reply, last, session)).toBe(true);
    await first.close();
    const again = fixture.node((await fixture.gateway()).target, dialect, key);
    again.nodeId = node.nodeId;
    expect(await again.pushPart(reply, last, session)).toBe(true);
    expect(aggregator.submitted).toHaveLength(1);
  });

  it('survives an aggregator that goes away before its verdict: the repeated push gets it', async () => {
    const gateway = await fixture.gateway();
    const node = fixture.node(gateway.target, dialect);
    await node.start();
    await fixture.task(node.nodeId);
    const reply = await replyOf(node);
    const { wanted, session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
    aggregator.before = (method) => {
      if (method === 'submitUpdate') throw new AegisError('UNAVAILABLE');
    };
    for (const id of wanted.slice(0, -1)) await node.pushPart(reply, id, session);
    const last = wanted.at(-1) ?? '';
    await expect(node.pushPart(reply, last, session)).rejects.toMatchObject({ status: dialect === 'A' ? 503 : 14 });
    aggregator.before = () => {};
    expect(await node.pushPart(reply, last, session)).toBe(true);
    expect(aggregator.submitted).toHaveLength(1);
  });
});

describe('two gateways', () => {
  it('each see half of an upload, and whoever stores the last part hands it in', async () => {
    const measured = () => fixture.gateway({ telemetry: createTelemetry({ service: 'test', version: '0', env: {} }) });
    const [first, second] = [await measured(), await measured()];
    const key = new NodeKey();
    const node = fixture.node(first.target, 'A', key);
    await node.start();
    const beside = fixture.node(second.target, 'A', key);
    beside.nodeId = node.nodeId;
    const before = await openTasks(first.target);
    for (let round = 1; round <= 8; round += 1) {
      const task = await fixture.task(node.nodeId, { round });
      const reply = await replyOf(node);
      const { wanted, session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
      const stored = await Promise.all(
        wanted.map((id, index) => (index % 2 ? node : beside).pushPart(reply, id, session)),
      );
      expect(stored.every(Boolean)).toBe(true);
      expect(new Set(aggregator.submitted.map(({ task }) => task?.taskId)).size).toBe(round);
      // As the aggregator does with an answered task; both gateways hear of it before the next.
      await fixture.withdraw(task);
      await Promise.all(
        [first, second].map(({ target }) => eventually(async () => (await openTasks(target)) === before)),
      );
    }
  });

  it('share nodes: registered here, at work there, removed here and refused there', async () => {
    const [first, second] = [await fixture.gateway(), await fixture.gateway()];
    const key = new NodeKey();
    const here = fixture.node(first.target, 'A', key);
    await here.messages.registerNode(key.publicKeyPem);
    const there = fixture.node(second.target, 'B', key);
    there.nodeId = await there.messages.activateNode(key.publicKeyPem, 30);
    here.nodeId = there.nodeId;
    expect(await here.heartbeat()).toBe(true);
    await fixture.task(there.nodeId);
    const offer = await there.work();
    expect(await here.messages.pullObject(here.nodeId, 77n, offer.tree.id)).not.toBeNull();
    await here.stop();
    await eventually(() =>
      there.heartbeat().then(
        () => false,
        ({ status }) => status === 16,
      ),
    );
  });

  it('end a pull held at one when the node leaves at the other', async () => {
    const [first, second] = [await fixture.gateway({ config: { 'hold-seconds': 20 } }), await fixture.gateway()];
    const key = new NodeKey();
    const here = fixture.node(first.target, 'A', key);
    await here.start();
    const there = fixture.node(second.target, 'A', key);
    there.nodeId = here.nodeId;
    const held = here.pull();
    await eventually(() =>
      there.messages.deactivateNode(there.nodeId).then(
        () => true,
        () => false,
      ),
    );
    expect(await held).toBeNull();
  });
});

describe('a gateway that restarts', () => {
  it('still knows its nodes and offers the same message to the byte', async () => {
    const first = await fixture.gateway();
    const key = new NodeKey();
    const node = fixture.node(first.target, 'A', key);
    await node.start();
    await fixture.task(node.nodeId);
    const offer = await node.work();
    await first.close();
    const again = fixture.node((await fixture.gateway()).target, 'A', key);
    again.nodeId = node.nodeId;
    expect(await again.messages.pullObject(again.nodeId, 77n, offer.tree.id)).not.toBeNull();
    expect(await again.work()).toEqual(offer);
    expect(await again.push(again.reply(offer, { arrays: new Map([['w', npyOf([1])]]), metrics: [...metrics] }))).toBe(
      true,
    );
  });
});

describe('a bus that is away for a while', () => {
  it('leaves held pulls waiting, puts off what needs state, and comes back by itself', async () => {
    const own = await startTestNats();
    const away = await GatewayFixture.open(own, aggregator);
    try {
      const gateway = await away.gateway({ config: { 'hold-seconds': 20 } });
      const node = away.node(gateway.target);
      await node.start();
      const stranger = away.node(gateway.target);
      const held = node.pull();
      await eventually(async () => (await node.heartbeat()) && true);
      await own.kill();
      await expect(stranger.start()).rejects.toMatchObject({ status: 503 });
      expect(await node.heartbeat()).toBe(true);
      await own.restart();
      await eventually(() =>
        away.task(node.nodeId).then(
          () => true,
          () => false,
        ),
      );
      expect((await held)?.head.destinationNodeId).toBe(node.nodeId);
      await eventually(() =>
        stranger.start().then(
          () => true,
          () => false,
        ),
      );
    } finally {
      await away.close();
      await own.stop();
    }
  });
});
