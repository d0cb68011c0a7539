import { randomBytes } from 'node:crypto';
import { type Masking, SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { AegisError } from '@aegis/errors';
import { eventually, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../../testing/gateway-fixture.ts';
import { NativeNode, type NativeStream, partIdOf, type ToSay, weightOf } from '../../testing/native-node.ts';
import { ScriptedAggregator } from '../../testing/scripted-aggregator.ts';
import { ScriptedSecagg } from '../../testing/scripted-secagg.ts';
import { nodeLimits } from './limits.ts';

const masking: Masking = {
  ...{ cohort: 3, dropouts: 0.2, colluders: 0.1, plan: randomBytes(32), round: 2n ** 40n + 1n },
  ...{ degree: 2, threshold: 2, minSurvivors: 2, bits: 23, length: 11n, stageSeconds: 30 },
  grid: {
    ...{ clip: 1.5, ownClips: { b: 0.25 }, metrics: [{ name: 'loss', low: 0, high: 9 }] },
    ...{ valueBits: 16, weightMax: 100n, maxExamples: 1e6, normClip: 3, noiseSigma: 20.5 },
  },
};

const nats = withNats();
const aggregator = new ScriptedAggregator();
const nodes: NativeNode[] = [];
let fixture: GatewayFixture;
let secagg: ScriptedSecagg;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator);
});
beforeEach(async () => {
  aggregator.before = () => {};
  secagg = new ScriptedSecagg();
  gateway = await fixture.gateway({ secagg: secagg.service() });
});
afterAll(async () => {
  for (const node of nodes) node.close();
  await fixture.close();
});

const newNode = ({ canMask = true, key }: { canMask?: boolean; key?: NativeNode['key'] } = {}): NativeNode => {
  const node = new NativeNode(gateway.target, key, { canMask });
  nodes.push(node);
  return node;
};
const atWork = async () => {
  const node = newNode();
  const { stream, nodeId } = await node.connect();
  const task = await fixture.task(nodeId, { masking });
  const offer = await stream.next('taskOffer');
  return { node, stream, nodeId, task, taskId: task.taskId, offer };
};
const says = (taskId: string, stage: SecaggStage, answer: Buffer | string = ''): ToSay => ({
  $case: 'stageAnswer',
  value: { taskId, stage, answer: Buffer.from(answer) },
});
const submitted = (taskId: string, vector: Buffer): Extract<ToSay, { $case: 'submit' }> => ({
  $case: 'submit',
  value: {
    taskId,
    tensors: [],
    metrics: [],
    runtimeSeconds: 0.5,
    masked: [{ partId: partIdOf(vector), offset: 0n, length: BigInt(vector.length) }],
  },
});
const sendVector = async (stream: NativeStream, taskId: string, vector: Buffer): Promise<void> => {
  stream.say({ $case: 'beginUpdate', value: { taskId, partIds: [partIdOf(vector)] } });
  await stream.next('missingParts');
  stream.say({ $case: 'part', value: { taskId, partId: partIdOf(vector) } }, vector);
  await stream.next('partStored');
};

describe('a masked task', () => {
  it('is offered with its terms to a node that masks, and its vector handed in', async () => {
    const { stream, taskId, offer } = await atWork();
    expect(offer.masking).toEqual(masking);
    const vector = randomBytes(4_000);
    await sendVector(stream, taskId, vector);
    stream.say(submitted(taskId, vector));
    expect(await stream.next('verdict')).toMatchObject({ taskId, accepted: true });
    expect(aggregator.submitted.at(-1)).toMatchObject({
      tensors: [],
      metrics: [],
      weight: undefined,
      masked: [{ partId: partIdOf(vector), offset: 0n, length: 4_000n }],
    });
  });

  it('is no task that tensors or metrics in the clear can answer as well', async () => {
    const { stream, taskId } = await atWork();
    const vector = randomBytes(100);
    await sendVector(stream, taskId, vector);
    const submit = submitted(taskId, vector);
    stream.say({ ...submit, value: { ...submit.value, metrics: [weightOf(3)] } });
    expect(await stream.next('verdict')).toMatchObject({ accepted: false, code: 'REPLY_MALFORMED' });
    await eventually(() => expect(aggregator.failed).toContainEqual(expect.objectContaining({ taskId })));
  });

  it('goes back unseen when its node does not mask, whatever door it calls at', async () => {
    const plain = newNode({ canMask: false });
    const { stream, nodeId } = await plain.connect();
    const native = await fixture.task(nodeId, { masking });
    const flower = fixture.node(gateway.target, 'A');
    await flower.start();
    const pulled = await fixture.task(flower.nodeId, { masking });
    const work = flower.work();
    for (const { taskId } of [native, pulled]) {
      await eventually(() =>
        expect(aggregator.failed).toContainEqual({
          taskId,
          code: 5,
          reason: 'ANSWER_NOT_MASKED: This node does not mask.',
        }),
      );
    }
    stream.say({ $case: 'beginUpdate', value: { taskId: native.taskId, partIds: [partIdOf(Buffer.from('x'))] } });
    expect(await stream.next('refusal')).toMatchObject({ taskId: native.taskId, code: 'ANSWER_NOT_MASKED' });
    stream.say(says(native.taskId, SecaggStage.ADVERTISE, 'x'));
    expect(await stream.next('refusal')).toMatchObject({ taskId: native.taskId, code: 'ANSWER_NOT_MASKED' });
    expect(stream.heard.some(({ frame }) => frame.$case === 'taskOffer')).toBe(false);
    expect(secagg.asked).toEqual([]);
    // In the clear, there is work for it.
    await fixture.task(flower.nodeId, { runId: 78n });
    expect((await work).head.runId).toBe(78n);
  });

  it('makes its node known as one that masks, for as long as it says so', async () => {
    const told: { nodeId: bigint; canMask: boolean }[] = [];
    const over = new AbortController();
    const events = await gateway.bus.subscribe('presence', over.signal);
    void (async () => {
      for await (const { message } of events)
        for (const { nodeId, canMask } of message.nodes) told.push({ nodeId, canMask });
    })().catch(() => {});
    const node = newNode();
    const { nodeId } = await node.connect();
    await eventually(() => expect(told).toContainEqual({ nodeId, canMask: true }));
    await newNode({ canMask: false, key: node.key }).connect();
    await eventually(() => expect(told).toContainEqual({ nodeId, canMask: false }));
    over.abort();
  });
});

describe('a stage', () => {
  it('is answered to the secagg service, and asked of the node, byte for byte', async () => {
    const { stream, nodeId, task, taskId } = await atWork();
    const advert = randomBytes(300);
    stream.say(says(taskId, SecaggStage.ADVERTISE, advert));
    await eventually(() => expect(secagg.asked).toHaveLength(1));
    expect(secagg.asked[0]).toEqual({
      taskId,
      runId: task.runId,
      nodeId,
      stage: SecaggStage.ADVERTISE,
      answer: advert,
    });
    const request = randomBytes(2_000_000);
    secagg.answer({ stage: SecaggStage.SHARE, request });
    expect(await stream.next('stageRequest')).toEqual({ taskId, stage: SecaggStage.SHARE, request });
  });

  it('is waited for without the answer, which is kept by then', async () => {
    const { stream, taskId } = await atWork();
    stream.say(says(taskId, SecaggStage.ADVERTISE, 'advert'));
    for (let held = 1; held < 4; held += 1) {
      await eventually(() => expect(secagg.asked).toHaveLength(held));
      secagg.answer({ nothingYet: true });
    }
    await eventually(() => expect(secagg.asked).toHaveLength(4));
    expect(secagg.asked.map(({ answer }) => answer.toString())).toEqual(['advert', '', '', '']);
    secagg.answer({ stage: SecaggStage.SHARE });
    expect((await stream.next('stageRequest')).stage).toBe(SecaggStage.SHARE);
  });

  it('goes on when the task has left the mailbox with its answer, also over another stream', async () => {
    const { node, stream, task, taskId } = await atWork();
    const vector = randomBytes(100);
    await sendVector(stream, taskId, vector);
    stream.say(submitted(taskId, vector));
    await stream.next('verdict');
    await fixture.withdraw(task);
    stream.say(says(taskId, SecaggStage.MASK));
    await eventually(() => expect(secagg.asked).toHaveLength(1));
    const again = await newNode({ key: node.key }).connect();
    await eventually(() => expect(secagg.gone).toEqual([taskId]));
    again.stream.say(says(taskId, SecaggStage.MASK));
    await eventually(() => expect(secagg.asked).toHaveLength(2));
    expect(secagg.asked[1]).toMatchObject({ taskId, runId: task.runId, stage: SecaggStage.MASK });
    secagg.answer({});
    secagg.answer({ done: true });
    expect(await again.stream.next('stageRequest')).toEqual({ taskId, stage: 0, request: Buffer.alloc(0) });
  });

  it('of a round that goes on without the node is refused by name, and the task stays in its hands until it says FailTask', async () => {
    const { stream, taskId } = await atWork();
    stream.say(says(taskId, SecaggStage.SHARE, 'shares'));
    await eventually(() => expect(secagg.asked).toHaveLength(1));
    secagg.fail(new AegisError('SECAGG_ROUND_OVER', 'It did not advertise.'));
    expect(await stream.next('refusal')).toMatchObject({ taskId, code: 'SECAGG_ROUND_OVER', again: false });
    stream.say({ $case: 'failTask', value: { taskId, code: 4, reason: 'SECAGG_ROUND_OVER' } });
    await eventually(() => expect(aggregator.failed).toContainEqual(expect.objectContaining({ taskId, code: 4 })));
  });

  it('is to be answered again when the secagg service is away', async () => {
    const { stream, taskId } = await atWork();
    stream.say(says(taskId, SecaggStage.ADVERTISE, 'advert'));
    await eventually(() => expect(secagg.asked).toHaveLength(1));
    secagg.fail(new AegisError('UNAVAILABLE'));
    expect(await stream.next('refusal')).toMatchObject({ taskId, code: 'UNAVAILABLE', again: true });
  });

  it('has one wait: a newer answer ends the older, and so does the withdrawal of the task', async () => {
    const { stream, task, taskId } = await atWork();
    stream.say(says(taskId, SecaggStage.ADVERTISE, 'advert'));
    await eventually(() => expect(secagg.asked).toHaveLength(1));
    stream.say(says(taskId, SecaggStage.ADVERTISE, 'advert'));
    await eventually(() => expect(secagg.asked).toHaveLength(2));
    await eventually(() => expect(secagg.gone).toEqual([taskId]));
    await fixture.withdraw(task);
    await stream.next('taskWithdrawn');
    await eventually(() => expect(secagg.gone).toEqual([taskId, taskId]));
    expect(stream.heard.some(({ frame }) => frame.$case === 'refusal')).toBe(false);
  });

  it('that is none, or too long an answer, is refused here', async () => {
    const { stream, taskId } = await atWork();
    stream.say(says(taskId, SecaggStage.UNSPECIFIED, 'advert'));
    expect(await stream.next('refusal')).toMatchObject({ taskId, code: 'SECAGG_ANSWER' });
    stream.say(says(taskId, SecaggStage.SHARE, Buffer.alloc(nodeLimits.stageAnswer + 1)));
    expect(await stream.next('refusal')).toMatchObject({ taskId, code: 'SECAGG_ANSWER' });
    stream.say(says('01J0000000000000000000000', SecaggStage.SHARE, 'shares'));
    expect(await stream.next('refusal')).toMatchObject({ code: 'SECAGG_ROUND_OVER' });
    expect(secagg.asked).toEqual([]);
  });

  it('is open in a few rounds of one stream at a time', async () => {
    const { stream, nodeId, taskId } = await atWork();
    const others = Array.from({ length: nodeLimits.stageExchanges }, () => fixture.task(nodeId, { masking }));
    const ids = [taskId, ...(await Promise.all(others)).map((task) => task.taskId)];
    for (const id of ids) stream.say(says(id, SecaggStage.ADVERTISE, 'advert'));
    expect(await stream.next('refusal')).toMatchObject({ taskId: ids.at(-1), code: 'UNAVAILABLE', again: true });
    await eventually(() => expect(secagg.asked).toHaveLength(nodeLimits.stageExchanges));
  });

  it('is over where no secagg service is', async () => {
    gateway = await fixture.gateway();
    const { stream, taskId } = await atWork();
    stream.say(says(taskId, SecaggStage.ADVERTISE, 'advert'));
    expect(await stream.next('refusal')).toMatchObject({ taskId, code: 'SECAGG_ROUND_OVER', again: false });
  });
});
