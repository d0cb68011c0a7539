import { randomBytes } from 'node:crypto';
import { TaskKind } from '@aegis/contracts/aegis/events/v1/task';
import { OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import { AegisError } from '@aegis/errors';
import { eventually, withNats } from '@aegis/testkit';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GatewayFixture, TOKEN } from '../../testing/gateway-fixture.ts';
import {
  cutAnswer,
  NativeNode,
  type NativeStream,
  partIdOf,
  readModel,
  type ToSay,
  weightOf,
} from '../../testing/native-node.ts';
import { floatsOf, npyOf } from '../../testing/npy.ts';
import { modelOf, ScriptedAggregator } from '../../testing/scripted-aggregator.ts';
import { rawGrpc } from '../../testing/wire-client.ts';

const nats = withNats();
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
const aggregator = new ScriptedAggregator();
const nodes: NativeNode[] = [];

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator, { tls: true });
  gateway = await fixture.gateway();
});
beforeEach(() => {
  aggregator.before = () => {};
  aggregator.verdict = { accepted: true, refusalCode: '', refusal: '' };
});
afterAll(async () => {
  for (const node of nodes) node.close();
  await fixture.close();
});

const newNode = (key?: NativeNode['key'], target = gateway.target): NativeNode => {
  const node = new NativeNode(target, key);
  nodes.push(node);
  return node;
};
const arrays = (seed: number) => ({ w: npyOf([seed, 3, 4]), b: npyOf([seed]) });
const begin = (taskId: string, parts: ReadonlyMap<string, Buffer>): ToSay => ({
  $case: 'beginUpdate',
  value: { taskId, partIds: [...parts.keys()] },
});
const part = (taskId: string, partId: string): ToSay => ({ $case: 'part', value: { taskId, partId } });

const send = async (stream: NativeStream, taskId: string, parts: ReadonlyMap<string, Buffer>): Promise<void> => {
  stream.say(begin(taskId, parts));
  const { partIds } = await stream.next('missingParts');
  for (const partId of partIds) stream.say(part(taskId, partId), parts.get(partId));
  for (const _ of partIds) await stream.next('partStored');
};
/** A node at work: connected, with its task offered. */
const atWork = async (model?: Parameters<GatewayFixture['task']>[2]) => {
  const node = newNode();
  const { stream, nodeId } = await node.connect();
  const task = await fixture.task(nodeId, {}, model);
  const offer = await stream.next('taskOffer');
  return { node, stream, nodeId, taskId: task.taskId, task, offer };
};

const removeNode = async (nodeId: bigint): Promise<void> => {
  const { host, port, ca } = gateway.target;
  const client = new Client(`${host}:${port}`, credentials.createSsl(ca ?? null), {
    'grpc.ssl_target_name_override': 'localhost',
  });
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${TOKEN}`);
  const { path, requestSerialize } = OperatorService.removeNode;
  await rawGrpc(client, path, requestSerialize({ nodeId }), metadata);
  client.close();
};

describe('a native client over TLS', () => {
  it('walks from Challenge to an accepted update', async () => {
    const { stream, nodeId } = await newNode().connect();
    const task = await fixture.task(nodeId, { deadline: Date.now() / 1000 + 300 });
    const offer = await stream.next('taskOffer');
    expect(offer).toMatchObject({
      taskId: task.taskId,
      runId: 77n,
      round: 1,
      kind: TaskKind.TRAIN,
      appId: 'aegis/app',
      weightedByKey: 'num-examples',
      config: [{ key: 'server-round' }],
      model: { modelId: task.modelId, tensors: [{ name: 'w', offset: 0n }, { name: 'b' }] },
    });
    expect(offer.secondsLeft).toBeGreaterThan(0);
    expect(offer.secondsLeft).toBeLessThanOrEqual(300);
    stream.say({ $case: 'taskAccepted', value: { taskId: task.taskId } });
    const body = await readModel(stream, offer);
    const [w] = offer.model?.tensors ?? [];
    expect(floatsOf(body.subarray(0, Number(w?.length)))).toEqual([1, 2, 3]);

    const { parts, submit } = cutAnswer(task.taskId, {
      tensors: arrays(2),
      metrics: [weightOf(20), { key: 'loss', value: { value: { $case: 'real', value: 0.25 } } }],
    });
    await send(stream, task.taskId, parts);
    stream.say(submit);
    expect(await stream.next('verdict')).toEqual({ taskId: task.taskId, accepted: true, code: '', detail: '' });
    expect(aggregator.submitted.at(-1)).toMatchObject({
      task: { taskId: task.taskId, nodeId },
      weight: 20,
      metrics: [{ key: 'loss' }],
      runtimeSeconds: 0.5,
      tensors: [{ name: 'w' }, { name: 'b' }],
    });
    for (const [partId, content] of parts) expect(aggregator.parts.get(partId)).toEqual(content);
    stream.say({ $case: 'leave', value: {} });
    expect(await stream.code()).toBe('');
  });

  it('reads a model of many blocks exactly, in any ranges, each block fetched once for all', async () => {
    const model = modelOf({ w: Float32Array.from({ length: 700_000 }, (_, at) => at % 1013) });
    const npy = model.tensors[0]?.npy ?? Buffer.alloc(0);
    const first = await atWork(model);
    const second = await atWork(model);
    const before = aggregator.readModelCalls.length;
    for (const { stream, offer } of [first, second]) expect(npy.equals(await readModel(stream, offer))).toBe(true);
    expect(aggregator.readModelCalls.length - before).toBe(3);
    const { taskId } = first.offer;
    first.stream.say({ $case: 'readModel', value: { requestId: 9n, taskId, offset: 1_048_570n, length: 20n } });
    const pieces = [await first.stream.nextFrame('modelBytes'), await first.stream.nextFrame('modelBytes')];
    expect(Buffer.concat(pieces.map(({ content }) => content))).toEqual(npy.subarray(1_048_570, 1_048_590));
  });

  it('reads no more of a model than a client takes in', async () => {
    // far more than sockets and windows on the way hold, whatever the kernel gives them
    const model = modelOf({ w: new Float32Array(40 * 2 ** 18).map((_, at) => at) });
    const { stream, offer } = await atWork(model);
    stream.pause();
    const before = aggregator.readModelCalls.length;
    const length = offer.model?.bytes ?? 0n;
    stream.say({ $case: 'readModel', value: { requestId: 1n, taskId: offer.taskId, offset: 0n, length } });
    stream.say({ $case: 'heartbeat', value: {} });
    const other = await newNode().connect();
    other.stream.say({ $case: 'heartbeat', value: {} });
    await other.stream.next('heartbeat');
    expect(aggregator.readModelCalls.length - before).toBeLessThan(20);
    stream.resume();
    await stream.next('heartbeat');
  });

  it('hears of no withdrawal when its answer takes the task out of the mailbox', async () => {
    const { stream, nodeId, taskId } = await atWork();
    aggregator.before = async (method) => {
      if (method !== 'submitUpdate') return;
      await fixture.withdraw({ nodeId, taskId });
      // Its next task comes after the news of the withdrawal.
      await fixture.task(nodeId);
      await stream.next('taskOffer');
    };
    stream.say(cutAnswer(taskId, { tensors: {}, metrics: [weightOf(1)] }).submit);
    expect((await stream.next('verdict')).accepted).toBe(true);
    expect(stream.heard.some(({ frame }) => frame.$case === 'taskWithdrawn')).toBe(false);
  });

  it('answers an evaluation without announcing anything', async () => {
    const { stream, nodeId } = await newNode().connect();
    const { taskId } = await fixture.task(nodeId, { kind: TaskKind.EVALUATE });
    expect((await stream.next('taskOffer')).kind).toBe(TaskKind.EVALUATE);
    stream.say(cutAnswer(taskId, { tensors: {}, metrics: [weightOf(7)] }).submit);
    expect(await stream.next('verdict')).toMatchObject({ taskId, accepted: true });
    expect(aggregator.submitted.at(-1)).toMatchObject({ weight: 7, tensors: [] });
  });

  it('is told every task at once, and frames about different tasks interleave', async () => {
    const { stream, nodeId } = await newNode().connect();
    const tasks = [await fixture.task(nodeId), await fixture.task(nodeId, { runId: 78n })];
    const offers = [await stream.next('taskOffer'), await stream.next('taskOffer')];
    expect(offers.map(({ taskId }) => taskId).sort()).toEqual(tasks.map(({ taskId }) => taskId).sort());
    const answers = tasks.map(({ taskId }, index) => cutAnswer(taskId, { tensors: arrays(40 + index) }));
    for (const { parts, submit } of answers) stream.say(begin(submit.value.taskId, parts));
    const missing = [await stream.next('missingParts'), await stream.next('missingParts')];
    expect(missing.map(({ partIds }) => partIds.length)).toEqual([2, 2]);
    for (const { parts, submit } of answers.toReversed()) {
      for (const [partId, content] of parts) stream.say(part(submit.value.taskId, partId), content);
    }
    for (let stored = 0; stored < 4; stored += 1) await stream.next('partStored');
    for (const { submit } of answers) stream.say(submit);
    expect([await stream.next('verdict'), await stream.next('verdict')].every(({ accepted }) => accepted)).toBe(true);
  });

  it('says that it cannot do a task', async () => {
    const { stream, taskId } = await atWork();
    stream.say({ $case: 'failTask', value: { taskId, code: 7, reason: 'no data' } });
    await eventually(() => expect(aggregator.failed).toContainEqual({ taskId, code: 7, reason: 'no data' }));
  });

  it('is offline at once when it leaves, and welcome again', async () => {
    const node = newNode();
    const { stream, nodeId } = await node.connect();
    stream.say({ $case: 'leave', value: {} });
    expect(await stream.code()).toBe('');
    const again = await node.connect();
    expect(again.nodeId).toBe(nodeId);
  });
});

describe('who it is', () => {
  const refusedHello = async (change: (hello: Extract<ToSay, { $case: 'hello' }>) => ToSay): Promise<string> => {
    const node = newNode();
    const stream = node.open();
    stream.say(change(await node.hello(stream)));
    return stream.code();
  };

  it('refuses a wrong signature, an unusable key and another protocol', async () => {
    const changed = (value: Partial<Extract<ToSay, { $case: 'hello' }>['value']>) =>
      refusedHello((hello) => ({ $case: 'hello', value: { ...hello.value, ...value } }));
    expect(await changed({ signature: randomBytes(70) })).toBe('NODE_SIGNATURE');
    expect(await changed({ publicKey: Buffer.from('no key') })).toBe('NODE_UNAUTHENTICATED');
    expect(await changed({ publicKey: Buffer.alloc(4_000) })).toBe('NODE_HELLO');
    expect(await changed({ protocol: 2 })).toBe('NODE_PROTOCOL');
  });

  it('refuses a Hello that was said on another stream', async () => {
    const node = newNode();
    const first = node.open();
    const hello = await node.hello(first);
    first.say(hello);
    await first.next('welcome');
    const second = node.open();
    await second.next('challenge');
    second.say(hello);
    expect(await second.code()).toBe('NODE_SIGNATURE');
  });

  it('refuses whatever comes before Hello, a large frame unread, and a second Hello', async () => {
    const early = newNode().open();
    early.say({ $case: 'heartbeat', value: {} });
    expect(await early.code()).toBe('NODE_HELLO');
    const large = newNode().open();
    large.sayBytes(Buffer.alloc(9_000, 1));
    expect(await large.code()).toBe('BODY_TOO_LARGE');
    const node = newNode();
    const { stream } = await node.connect();
    stream.say({
      $case: 'hello',
      value: {
        protocol: 1,
        client: '',
        publicKey: randomBytes(9),
        signature: randomBytes(9),
        runsApps: false,
        canMask: false,
        invitation: '',
      },
    });
    expect(await stream.code()).toBe('NODE_HELLO');
  });

  it('lets in registered keys only where enrolment is closed', async () => {
    const closed = await fixture.gateway({ config: { enrolment: 'registered' } });
    const stranger = newNode(undefined, closed.target);
    const stream = stranger.open();
    stream.say(await stranger.hello(stream));
    expect(await stream.code()).toBe('NODE_KEY_UNKNOWN');
    const known = newNode();
    const { nodeId } = await known.connect();
    expect((await known.connect(closed.target)).nodeId).toBe(nodeId);
  });

  it('has one stream: a newer one takes its place, here or at another gateway', async () => {
    const node = newNode();
    const first = await node.connect();
    const second = await node.connect();
    expect(await first.stream.code()).toBe('NODE_REPLACED');
    const { taskId } = await fixture.task(second.nodeId);
    expect((await second.stream.next('taskOffer')).taskId).toBe(taskId);
    const other = await fixture.gateway();
    const third = await node.connect(other.target);
    expect(await second.stream.code()).toBe('NODE_REPLACED');
    expect((await third.stream.next('taskOffer')).taskId).toBe(taskId);
  });
});

describe('what is refused, while the stream goes on', () => {
  const refusalOf = async (stream: NativeStream, frame: ToSay, content?: Buffer) => {
    stream.say(frame, content);
    const { code, again } = await stream.next('refusal');
    return { code, again };
  };

  it('answers each bad request by its code', async () => {
    const { stream, taskId } = await atWork();
    const other = await atWork();
    const content = randomBytes(100);
    const partId = partIdOf(content);
    const large = Buffer.alloc(2 ** 20 + 1);
    const read = (offset: bigint, length: bigint): ToSay => ({
      $case: 'readModel',
      value: { requestId: 5n, taskId, offset, length },
    });
    const beginWith = (...partIds: string[]): ToSay => ({ $case: 'beginUpdate', value: { taskId, partIds } });
    const invalid = (code: string) => ({ code, again: false });
    expect(await refusalOf(stream, part(taskId, partId), content)).toEqual(invalid('PART_NOT_ANNOUNCED'));
    expect(await refusalOf(stream, beginWith('zz'))).toEqual(invalid('REQUEST_MALFORMED'));
    expect(await refusalOf(stream, beginWith(partId, partId))).toEqual(invalid('REQUEST_MALFORMED'));
    stream.say(beginWith(partId));
    expect((await stream.next('missingParts')).partIds).toEqual([partId]);
    expect(await refusalOf(stream, part(taskId, partId), randomBytes(100))).toEqual(invalid('PART_HASH'));
    expect(await refusalOf(stream, part(taskId, partId), large)).toEqual(invalid('BODY_TOO_LARGE'));
    expect(await refusalOf(stream, read(0n, 0n))).toEqual(invalid('REQUEST_MALFORMED'));
    expect(await refusalOf(stream, read(0n, 10_000_000n))).toEqual(invalid('REQUEST_MALFORMED'));
    expect(await refusalOf(stream, read(2n ** 63n, 2n ** 63n))).toEqual(invalid('REQUEST_MALFORMED'));
    for (const stranger of [other.taskId, 'nothing', '', '>', '*', `${other.nodeId}.${other.taskId}`, 'é']) {
      const frame: ToSay = { $case: 'beginUpdate', value: { taskId: stranger, partIds: [] } };
      expect(await refusalOf(stream, frame)).toEqual(invalid('TASK_NOT_FOUND'));
      const failure: ToSay = { $case: 'failTask', value: { taskId: stranger, code: 1, reason: '' } };
      expect(await refusalOf(stream, failure)).toEqual(invalid('TASK_NOT_FOUND'));
    }
    const early = cutAnswer(taskId, { tensors: { w: content } }).submit;
    expect(await refusalOf(stream, early)).toEqual(invalid('PART_NOT_FOUND'));
    stream.say(part(taskId, partId), content);
    await stream.next('partStored');
    stream.say(early);
    expect(await stream.next('verdict')).toMatchObject({ taskId, accepted: true });
  });

  it('tells a client to try again when the aggregator is away', async () => {
    const { stream, taskId } = await atWork();
    aggregator.before = (method) => {
      if (method === 'missingParts') throw new AegisError('STORE_UNAVAILABLE');
    };
    const { code, again } = await refusalOf(stream, begin(taskId, new Map()));
    expect({ code, again }).toEqual({ code: 'STORE_UNAVAILABLE', again: true });
  });

  it('judges an answer that names what was never announced, and the round waits no longer', async () => {
    const { stream, taskId } = await atWork();
    stream.say(begin(taskId, new Map()));
    await stream.next('missingParts');
    stream.say(cutAnswer(taskId, { tensors: arrays(8) }).submit);
    expect(await stream.next('verdict')).toMatchObject({ taskId, accepted: false, code: 'REPLY_MALFORMED' });
    expect(aggregator.failed).toContainEqual(expect.objectContaining({ taskId }));
  });

  it('passes on the verdict of the aggregator', async () => {
    const { stream, taskId } = await atWork();
    aggregator.verdict = { accepted: false, refusalCode: 'UPDATE_NOT_FINITE', refusal: 'NaN in w' };
    const { parts, submit } = cutAnswer(taskId, { tensors: arrays(9) });
    await send(stream, taskId, parts);
    stream.say(submit);
    const verdict = await stream.next('verdict');
    expect(verdict).toEqual({ taskId, accepted: false, code: 'UPDATE_NOT_FINITE', detail: 'NaN in w' });
  });

  it('withdraws a task, and refuses its answer by what the aggregator says of it', async () => {
    const { stream, nodeId, taskId } = await atWork();
    await fixture.withdraw({ nodeId, taskId });
    expect(await stream.next('taskWithdrawn')).toMatchObject({ taskId });
    aggregator.tasks.set(taskId, 'TASK_CLOSED');
    const { submit } = cutAnswer(taskId, { tensors: {}, metrics: [weightOf(1)] });
    expect(await refusalOf(stream, submit)).toEqual({ code: 'TASK_CLOSED', again: false });
  });
});

describe('what ends the stream', () => {
  it('more part bytes than the window allows', async () => {
    const { stream, taskId } = await atWork();
    const contents = Array.from({ length: 9 }, () => randomBytes(2 ** 20));
    const parts = new Map(contents.map((content) => [partIdOf(content), content]));
    stream.say(begin(taskId, parts));
    await stream.next('missingParts');
    const { promise, resolve } = Promise.withResolvers<void>();
    aggregator.before = (method) => (method === 'appendPart' ? promise : undefined);
    for (const [partId, content] of parts) stream.say(part(taskId, partId), content);
    expect(await stream.code()).toBe('NODE_WINDOW');
    resolve();
  });

  it('frames that are none', async () => {
    const garbage = [
      Buffer.alloc(0),
      Buffer.from([0xff, 0xff, 0xff]),
      Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
      Buffer.from([0x32, 2, 0x0f, 0x0f]),
      Buffer.from([0xf8, 0x07, 1]),
      Buffer.concat([Buffer.from([0x2a, 0xc0, 0x9a, 0x0c]), Buffer.alloc(200_000, Buffer.from([0x12, 0]))]),
      Buffer.alloc(9 * 2 ** 20, 1),
    ];
    for (const bytes of garbage) {
      const { stream } = await newNode().connect();
      stream.sayBytes(bytes);
      expect(['REQUEST_MALFORMED', 'BODY_TOO_LARGE']).toContain(await stream.code());
    }
  });

  it('content in a frame that has none', async () => {
    const { stream } = await newNode().connect();
    stream.say({ $case: 'heartbeat', value: {} }, randomBytes(10));
    expect(await stream.code()).toBe('REQUEST_MALFORMED');
  });

  it('an operator who removes the node', async () => {
    const { stream, nodeId } = await newNode().connect();
    await removeNode(nodeId);
    expect((await stream.next('goAway')).reason).toContain('removed');
    expect(await stream.code()).toBe('');
  });
});

describe('a client that loses its stream', () => {
  it('goes on where it was: only missing parts are asked for, and the same answer gets the same verdict', async () => {
    const { node, stream, taskId } = await atWork();
    const { parts, submit } = cutAnswer(taskId, { tensors: arrays(77), metrics: [weightOf(3)] });
    const [[firstId = '', first] = []] = [...parts];
    stream.say(begin(taskId, parts));
    await stream.next('missingParts');
    stream.say(part(taskId, firstId), first);
    await stream.next('partStored');
    stream.close();

    const again = await node.connect();
    expect((await again.stream.next('taskOffer')).taskId).toBe(taskId);
    again.stream.say(begin(taskId, parts));
    const { partIds } = await again.stream.next('missingParts');
    expect(partIds).toEqual([...parts.keys()].slice(1));
    for (const partId of partIds) again.stream.say(part(taskId, partId), parts.get(partId));
    await again.stream.next('partStored');
    again.stream.say(submit);
    const verdict = await again.stream.next('verdict');
    expect(verdict.accepted).toBe(true);
    again.stream.close();

    const third = await node.connect();
    third.stream.say(submit);
    expect(await third.stream.next('verdict')).toEqual(verdict);
  });

  it('gets its verdict also when the round has closed and forgotten the task', async () => {
    const { node, stream, nodeId, taskId } = await atWork();
    const { parts, submit } = cutAnswer(taskId, { tensors: arrays(78), metrics: [weightOf(3)] });
    await send(stream, taskId, parts);
    stream.say(submit);
    const verdict = await stream.next('verdict');
    stream.close();
    aggregator.tasks.delete(taskId);
    await fixture.withdraw({ nodeId, taskId });
    const again = await node.connect();
    again.stream.say(begin(taskId, parts));
    expect((await again.stream.next('missingParts')).partIds).toEqual([]);
    again.stream.say(submit);
    expect(await again.stream.next('verdict')).toEqual(verdict);
  });

  it('is told to go and goes on at another gateway when its own drains', async () => {
    const draining = await fixture.gateway();
    const node = newNode(undefined, draining.target);
    const { stream, nodeId } = await node.connect();
    const { taskId } = await fixture.task(nodeId);
    await stream.next('taskOffer');
    const { parts, submit } = cutAnswer(taskId, { tensors: arrays(79) });
    await send(stream, taskId, parts);
    const drained = draining.drain();
    expect((await stream.next('goAway')).reason).toContain('shutting down');
    expect(await stream.code()).toBe('');
    await drained;
    const again = await node.connect(gateway.target);
    expect((await again.stream.next('taskOffer')).taskId).toBe(taskId);
    again.stream.say(begin(taskId, parts));
    expect((await again.stream.next('missingParts')).partIds).toEqual([]);
    again.stream.say(submit);
    expect((await again.stream.next('verdict')).accepted).toBe(true);
  });
});

describe('presence', () => {
  it('tells what the node is, and hears at once when its connection is gone', async () => {
    const told: { nodeId: bigint; online: boolean; kind: number; unit: string }[] = [];
    const over = new AbortController();
    const events = await gateway.bus.subscribe('presence', over.signal);
    void (async () => {
      for await (const { message } of events) if (!message.snapshot) told.push(...message.nodes);
    })().catch(() => {});
    const { stream, nodeId } = await newNode().connect();
    await eventually(() =>
      expect(told).toContainEqual({ nodeId, online: true, kind: 1, unit: '', user: '', canMask: false, left: false }),
    );
    stream.say({ $case: 'leave', value: {} });
    await eventually(() =>
      expect(told).toContainEqual({ nodeId, online: false, kind: 0, unit: '', user: '', canMask: false, left: true }),
    );
    over.abort();
  });
});
