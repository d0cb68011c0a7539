import { type Task, TaskKind } from '@aegis/contracts/aegis/events/v1/task';
import type { ClientMessage } from '@aegis/contracts/flwr/proto/transport';
import { eventually, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../../testing/gateway-fixture.ts';
import { JoinClient } from '../../testing/join-client.ts';
import { floatsOf, npyOf } from '../../testing/npy.ts';
import { modelOf, ScriptedAggregator } from '../../testing/scripted-aggregator.ts';
import type { Target } from '../../testing/wire-client.ts';

const nats = withNats();
const aggregator = new ScriptedAggregator();
const clients: JoinClient[] = [];
const config = { join: true, 'hold-seconds': 0.2 };
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
const told: { nodeId: bigint; online: boolean; kind: number; unit: string }[] = [];
const over = new AbortController();

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator, { tls: true });
  gateway = await fixture.gateway({ config });
  const events = await gateway.bus.subscribe('presence', over.signal);
  void (async () => {
    for await (const { message } of events) if (!message.snapshot) told.push(...message.nodes);
  })().catch(() => {});
});
beforeEach(() => {
  aggregator.verdict = { accepted: true, refusalCode: '', refusal: '' };
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  over.abort();
  for (const client of clients) client.close();
  await fixture.close();
});

const join = (target: Target = gateway.target): JoinClient => {
  const client = new JoinClient(target);
  clients.push(client);
  return client;
};
/** A client that is online, and the id it got: nobody tells the client itself. */
const joined = async (target?: Target): Promise<{ client: JoinClient; nodeId: bigint }> => {
  const before = told.length;
  const client = join(target);
  const nodeId = await eventually(() => {
    const [came] = told.slice(before).filter(({ online, kind }) => online && kind === 2);
    if (!came) throw new Error('nobody came');
    return came.nodeId;
  });
  return { client, nodeId };
};
const taskOf = (nodeId: bigint, changes: Partial<Task> = {}, model?: Parameters<GatewayFixture['task']>[2]) =>
  fixture.task(nodeId, { join: true, ...changes }, model);

const ok = { code: 0, message: 'Success' } as const;
const numpy = (...tensors: Buffer[]) => ({ tensors, tensorType: 'numpy.ndarray' });
const fitted = (changes: object = {}): NonNullable<ClientMessage['msg']> => ({
  $case: 'fitRes',
  value: {
    status: ok,
    parameters: numpy(npyOf([2, 3, 4]), npyOf([1])),
    numExamples: 20n,
    metrics: { loss: { scalar: { $case: 'double', value: 0.25 } } },
    ...changes,
  },
});
const partOf = (partId = ''): number[] => floatsOf(aggregator.parts.get(partId) ?? Buffer.alloc(0));

describe('a start_client', () => {
  it('gets the model and the config, and its answer is an update like any other', async () => {
    const { client, nodeId } = await joined();
    const task = await taskOf(nodeId);
    const fit = await client.next();
    if (fit.$case !== 'fitIns') return expect.fail(fit.$case);
    expect(fit.value.parameters?.tensorType).toBe('numpy.ndarray');
    expect(fit.value.parameters?.tensors.map(floatsOf)).toEqual([[1, 2, 3], [0.5]]);
    expect(fit.value.config).toEqual({ 'server-round': { scalar: { $case: 'sint64', value: 1n } } });
    client.answer(fitted());
    const update = await eventually(() => {
      const found = aggregator.submitted.find((item) => item.task?.taskId === task.taskId);
      return found ?? expect.fail('nothing was handed in');
    });
    expect(update).toMatchObject({ task: { nodeId }, weight: 20, metrics: [{ key: 'loss' }] });
    const tensors = update.tensors.map(({ name, slices }) => [name, partOf(slices[0]?.partId)]);
    expect(tensors).toEqual([
      ['w', [2, 3, 4]],
      ['b', [1]],
    ]);

    const evaluation = await taskOf(nodeId, { kind: TaskKind.EVALUATE });
    expect((await client.next()).$case).toBe('evaluateIns');
    client.answer({ $case: 'evaluateRes', value: { status: ok, loss: 0.5, numExamples: 7n, metrics: {} } });
    await eventually(() =>
      expect(aggregator.submitted.at(-1)).toMatchObject({
        task: { taskId: evaluation.taskId },
        weight: 7,
        metrics: [{ key: 'loss', value: { value: { value: 0.5 } } }],
      }),
    );
  });

  it('is asked for a first model, whose arrays it numbers', async () => {
    const { client, nodeId } = await joined();
    const { taskId } = await taskOf(nodeId, { kind: TaskKind.INITIAL_MODEL, modelId: '', config: [] });
    expect(await client.next()).toEqual({ $case: 'getParametersIns', value: { config: {} } });
    client.answer({ $case: 'getParametersRes', value: { status: ok, parameters: numpy(npyOf([9]), npyOf([8])) } });
    await eventually(() => expect(aggregator.submitted.at(-1)?.task?.taskId).toBe(taskId));
    expect(aggregator.submitted.at(-1)?.tensors.map(({ name }) => name)).toEqual(['0', '1']);
  });

  it('carries arrays of many parts in one message', async () => {
    const { client, nodeId } = await joined();
    const large = Float32Array.from({ length: 2_500_000 }, (_, at) => at % 977);
    const { taskId } = await taskOf(nodeId, {}, modelOf({ w: large }));
    const fit = await client.next();
    const [npy] = (fit.$case === 'fitIns' && fit.value.parameters?.tensors) || [];
    expect(npy && npyOf(large).equals(npy)).toBe(true);
    client.answer(fitted({ parameters: numpy(npyOf(large)) }));
    const update = await eventually(() => {
      const found = aggregator.submitted.find((item) => item.task?.taskId === taskId);
      return found ?? expect.fail('nothing was handed in');
    });
    const slices = update.tensors[0]?.slices ?? [];
    expect(slices).toHaveLength(3);
    expect(
      Buffer.concat(slices.map(({ partId }) => aggregator.parts.get(partId) ?? Buffer.alloc(0))).equals(npyOf(large)),
    ).toBe(true);
  });

  it('is offline, and its task given up, when its connection closes', async () => {
    const { client, nodeId } = await joined();
    const { taskId } = await taskOf(nodeId);
    await client.next();
    client.close();
    await eventually(() =>
      expect(told).toContainEqual({ nodeId, online: false, kind: 0, unit: '', user: '', canMask: false, left: true }),
    );
    await eventually(() => expect(aggregator.failed).toContainEqual(expect.objectContaining({ taskId })));
  });

  it('is sent home when the run it worked for is over', async () => {
    const { client, nodeId } = await joined();
    const runId = 4_711n;
    const { taskId } = await taskOf(nodeId, { runId });
    await client.next();
    client.answer(fitted());
    await eventually(() => expect(aggregator.submitted.at(-1)?.task?.taskId).toBe(taskId));
    await fixture.withdraw({ nodeId, taskId });
    const run = aggregator.runs.get(runId) ?? expect.fail('no run');
    aggregator.runs.set(runId, { ...run, status: { status: 'finished', subStatus: 'completed', details: '' } });
    expect(await client.next()).toEqual({ $case: 'reconnectIns', value: { seconds: 0n } });
    client.answer({ $case: 'disconnectRes', value: { reason: 4 } });
    expect((await client.ended).code).toBe(0);
  });

  it('is told to come again when the gateway drains, after the answer it is working on', async () => {
    const draining = await fixture.gateway({ config });
    const { client, nodeId } = await joined(draining.target);
    const { taskId } = await taskOf(nodeId);
    await client.next();
    const drained = draining.drain();
    client.answer(fitted());
    expect(await client.next()).toEqual({ $case: 'reconnectIns', value: { seconds: 10n } });
    expect(aggregator.submitted.at(-1)?.task?.taskId).toBe(taskId);
    client.answer({ $case: 'disconnectRes', value: { reason: 4 } });
    expect((await client.ended).code).toBe(0);
    await drained;
  });
});

describe('what is refused', () => {
  it('Join itself, where it is off, with the reason in words', async () => {
    const closed = await fixture.gateway();
    const status = await join(closed.target).ended;
    expect(status.code).toBe(12);
    expect(status.details).toContain('join: true');
  });

  it('a configuration that lets it in where keys are registered', async () => {
    await expect(fixture.gateway({ config: { join: true, enrolment: 'registered' } })).rejects.toThrow('start_client');
  });

  it('a task of a run that did not let it in: the client never sees it', async () => {
    const { client, nodeId } = await joined();
    const { taskId } = await taskOf(nodeId, { join: false });
    await eventually(() => expect(aggregator.failed).toContainEqual(expect.objectContaining({ taskId })));
    await taskOf(nodeId, { kind: TaskKind.EVALUATE });
    expect((await client.next()).$case).toBe('evaluateIns');
  });

  it.each([
    ['its own failure', { status: { code: 3, message: 'no fit here' } }, 'no fit here'],
    ['arrays of another kind', { parameters: { tensors: [npyOf([1])], tensorType: 'ND' } }, 'numpy.ndarray'],
  ])('%s, and the client goes on', async (_what, changes, reason) => {
    const { client, nodeId } = await joined();
    const { taskId } = await taskOf(nodeId);
    await client.next();
    client.answer(fitted(changes));
    const failure = { taskId, reason: expect.stringContaining(reason) };
    await eventually(() => expect(aggregator.failed).toContainEqual(expect.objectContaining(failure)));
    await taskOf(nodeId, { kind: TaskKind.EVALUATE });
    expect((await client.next()).$case).toBe('evaluateIns');
  });

  it('an answer of another kind, a list in the config, and a late answer', async () => {
    const { client, nodeId } = await joined();
    const first = await taskOf(nodeId);
    await client.next();
    client.answer({ $case: 'evaluateRes', value: { status: ok, loss: 1, numExamples: 1n, metrics: {} } });
    await eventually(() => expect(aggregator.failed).toContainEqual(expect.objectContaining({ taskId: first.taskId })));
    const list = { value: { $case: 'integers' as const, value: { values: [1n] } } };
    const second = await taskOf(nodeId, { config: [{ key: 'sizes', value: list }] });
    const named = { taskId: second.taskId, reason: expect.stringContaining('sizes') };
    await eventually(() => expect(aggregator.failed).toContainEqual(expect.objectContaining(named)));
    const late = await taskOf(nodeId);
    await client.next();
    aggregator.tasks.set(late.taskId, 'TASK_CLOSED');
    await fixture.withdraw(late);
    client.answer(fitted());
    await taskOf(nodeId, { kind: TaskKind.EVALUATE });
    expect((await client.next()).$case).toBe('evaluateIns');
  });

  it('a message that nobody asked for, and one larger than any answer: the stream ends', async () => {
    const { client } = await joined();
    client.answer(fitted());
    expect((await client.ended).details).toContain('nobody had asked');
    const large = await joined();
    large.client.answer(fitted({ parameters: numpy(Buffer.alloc(100_000)) }));
    expect((await large.client.ended).details).toContain('BODY_TOO_LARGE');
  });
});
