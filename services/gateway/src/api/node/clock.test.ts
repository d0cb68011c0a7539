import { AegisError } from '@aegis/errors';
import { noTelemetry } from '@aegis/service-kit';
import { eventually } from '@aegis/testkit';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { expireNodes } from '../../flows/expire-nodes.ts';
import { memoryGateway } from '../../testing/memory-gateway.ts';
import { NativeNode } from '../../testing/native-node.ts';
import { BodyBudget } from '../body-budget.ts';
import type { Counted } from '../counted.ts';
import { streamAdmission } from '../grpc-frames.ts';
import { ModelBlocks } from '../model-blocks.ts';
import { NodeDoor, nodeLimits } from './door.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

/** The door on real gRPC, before a gateway in memory whose clock stands still. */
const doorOnMemory = async () => {
  const memory = await memoryGateway();
  const refused: string[] = [];
  const counted = { refused: (_door: string, { code }: AegisError) => void refused.push(code) } as unknown as Counted;
  const budget = new BodyBudget(2 ** 20);
  const { gateway } = memory;
  const models = new ModelBlocks(gateway.aggregator, 2 ** 20);
  const door = new NodeDoor({
    gateway,
    telemetry: noTelemetry,
    counted,
    budget,
    models,
    connectionOf: () => undefined,
  });
  const server = new Server({ interceptors: [streamAdmission(door.admission())] });
  door.addTo(server);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  closing.push(() => server.forceShutdown());
  const another = (): NativeNode => {
    const node = new NativeNode({ host: '127.0.0.1', port });
    closing.push(() => node.close());
    return node;
  };
  return { ...memory, node: another(), another, refused, budget };
};

describe('time on a stream', () => {
  it('ends it when no Hello comes', async () => {
    const { node, clock, refused } = await doorOnMemory();
    const stream = node.open();
    await stream.next('challenge');
    await clock.advance(nodeLimits.helloMs - 1);
    expect(refused).toEqual([]);
    await clock.advance(1);
    expect(await stream.code()).toBe('NODE_HELLO');
    expect(refused).toEqual(['NODE_HELLO']);
  });

  it('keeps a client that sends heartbeats, and lets a silent one go', async () => {
    const { node, clock, gateway, told } = await doorOnMemory();
    const { stream, nodeId } = await node.connect();
    expect(told).toEqual([{ nodeId, online: true, kind: 'native' }]);
    for (let beat = 0; beat < 5; beat += 1) {
      await clock.advance(nodeLimits.heartbeatSeconds * 1000);
      stream.say({ $case: 'heartbeat', value: {} });
      await stream.next('heartbeat');
      expireNodes(gateway);
    }
    expect(told).toHaveLength(1);
    await clock.advance(2 * nodeLimits.heartbeatSeconds * 1000);
    expireNodes(gateway);
    expect(told.at(-1)).toEqual({ nodeId, online: false });
    expect((await stream.next('goAway')).reason).toContain('silent');
    expect(await stream.code()).toBe('');
  });

  it('has it offline one interval after its connection broke', async () => {
    const { node, clock, gateway, told } = await doorOnMemory();
    const { stream, nodeId } = await node.connect();
    stream.close();
    await eventually(() => expect(gateway.roster.has(nodeId)).toBe(true));
    await eventually(async () => {
      await clock.advance(nodeLimits.heartbeatSeconds * 1000);
      expireNodes(gateway);
      expect(told.at(-1)).toEqual({ nodeId, online: false });
    });
  });

  it('offers a task again that could not be made ready, and gives it up only after many streams', async () => {
    const { node, clock, gateway, task, give, failed } = await doorOnMemory();
    const { stream, nodeId } = await node.connect();
    let asked = 0;
    Object.assign(gateway.aggregator, {
      model: async () => ({ modelId: 'm', bytes: 0, tensors: [] }),
      run: async () => {
        asked += 1;
        if (asked === 1) throw new AegisError('STORE_UNAVAILABLE');
        return { appId: 'a/b' };
      },
    });
    give({ ...task('01'), nodeId });
    await eventually(() => expect(asked).toBe(1));
    await eventually(async () => {
      await clock.advance(1_000);
      expect(asked).toBe(2);
    });
    expect((await stream.next('taskOffer')).taskId).toBe('01');
    for (let again = 0; again < 29; again += 1) {
      const { stream: next } = await node.connect();
      expect((await next.next('taskOffer')).taskId).toBe('01');
    }
    expect(failed).toEqual([]);
    await node.connect();
    await eventually(() => expect(failed).toMatchObject([{ taskId: '01' }]));
  });

  it('counts a node that let its round down as free only when it says so', async () => {
    const { node, gateway, task, give, told } = await doorOnMemory();
    const { stream, nodeId } = await node.connect();
    Object.assign(gateway.aggregator, {
      model: async () => ({ modelId: 'm', bytes: 0, tensors: [] }),
      run: async () => ({ appId: 'a/b' }),
    });
    give({ ...task('01'), nodeId });
    await stream.next('taskOffer');
    gateway.mailbox.withdraw(nodeId, '01');
    gateway.held.wake(nodeId);
    await stream.next('taskWithdrawn');
    stream.say({ $case: 'heartbeat', value: {} });
    await stream.next('heartbeat');
    expect(told).toHaveLength(1);
    stream.say({ $case: 'failTask', value: { taskId: '01', code: 0, reason: 'stopped' } });
    await eventually(() => expect(told).toHaveLength(2));
    expect(told[1]).toEqual({ nodeId, online: true, kind: 'native' });
  });
});

describe('room for bodies', () => {
  it('is waited for, unread, while others fill it, and whoever says little goes on meanwhile', async () => {
    const { node, another, budget } = await doorOnMemory();
    const { stream } = await node.connect();
    const others = budget.open();
    others.add(2 ** 20);
    stream.say({ $case: 'part', value: { taskId: '01', partId: 'p' } }, Buffer.alloc(200_000));
    const { stream: other } = await another().connect();
    other.say({ $case: 'heartbeat', value: {} });
    await other.next('heartbeat');
    expect(stream.heard.map(({ frame }) => frame.$case)).toEqual(['challenge', 'welcome']);
    others.release();
    expect(await stream.next('refusal')).toMatchObject({ taskId: '01', code: 'PART_NOT_ANNOUNCED' });
    await eventually(() => expect(budget.bytes()).toBe(0));
  });
});
