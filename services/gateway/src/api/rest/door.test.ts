import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Masking, TaskKind } from '@aegis/contracts/aegis/events/v1/task';
import { createTelemetry } from '@aegis/service-kit';
import { eventually, startTestNats, temporaryFolder, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { GatewayFixture, TOKEN } from '../../testing/gateway-fixture.ts';
import { npyOf } from '../../testing/npy.ts';
import { Operator } from '../../testing/operator.ts';
import { hashOf, RestClient } from '../../testing/rest-client.ts';
import { modelOf, ScriptedAggregator } from '../../testing/scripted-aggregator.ts';
import { rawHttp, type Target } from '../../testing/wire-client.ts';

const nats = withNats();
const aggregator = new ScriptedAggregator();
const config = { rest: true };
const telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
let operator: Operator;
let elsewhere: Operator;

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator);
  gateway = await fixture.gateway({ config, telemetry });
  operator = new Operator(gateway.target, TOKEN);
  elsewhere = new Operator((await fixture.gateway({ config })).target, TOKEN);
});
beforeEach(() => {
  // The scripted aggregator keeps parts by their hash alone: what one test stored would be there for the next.
  aggregator.parts.clear();
  aggregator.verdict = { accepted: true, refusalCode: '', refusal: '' };
});
afterAll(() => {
  operator.close();
  elsewhere.close();
  return fixture.close();
});

const registered = async (target = gateway.target) => {
  const client = new RestClient(target);
  const nodeId = await client.register({ name: 'ada' });
  // With this it comes to work.
  await client.call('GET', '/api/v1/tasks');
  return { client, nodeId };
};
const w = npyOf([2, 3, 4]);
const b = npyOf([1]);
const parts = [w, b];
const sliceOf = (content: Buffer) => ({ sha256: hashOf(content), length: content.byteLength });
const manifest = {
  tensors: [
    // In two slices of one part, to be joined.
    {
      name: 'w',
      slices: [
        { sha256: hashOf(w), length: 100 },
        { sha256: hashOf(w), offset: 100, length: w.byteLength - 100 },
      ],
    },
    { name: 'b', slices: [sliceOf(b)] },
  ],
  numExamples: 20,
  metrics: { loss: 0.25 },
};
const put = (client: RestClient, taskId: string, content: Buffer) =>
  client.call('PUT', `/api/v1/updates/${taskId}/parts/${hashOf(content)}`, { body: content });
const refusal = (status: number, code: string) => ({ status, code });
const told = ({ status, headers, json }: Awaited<ReturnType<RestClient['call']>>) => {
  expect(headers['content-type']).toBe('application/problem+json');
  const problem = json();
  expect(Object.keys(problem).sort()).toEqual(['code', 'detail', 'do', 'status', 'title', 'type']);
  expect(problem.status).toBe(status);
  return { status, code: problem.code };
};

describe('a client with nothing but HTTP', () => {
  it('is a node: takes a task, reads its model, hands in an answer like any other', async () => {
    const { client, nodeId } = await registered();
    const waiting = client.call('GET', '/api/v1/tasks?wait=20');
    const task = await fixture.task(nodeId);
    const { json } = await waiting;
    expect(json().task).toMatchObject({
      taskId: task.taskId,
      runId: '77',
      kind: 'train',
      config: { 'server-round': 1 },
      model: { modelId: task.modelId, tensors: [{ name: 'w', dtype: '<f4', shape: [3] }, { name: 'b' }] },
      secondsLeft: null,
    });
    const path = `/api/v1/updates/${task.taskId}`;
    const missing = parts.map(hashOf);
    expect((await client.call('POST', path, { body: manifest })).json()).toEqual({ status: 'incomplete', missing });
    expect((await put(client, task.taskId, w)).json()).toEqual({ stored: true });
    const half = await client.call('POST', path, { body: manifest });
    expect(half.json().missing).toEqual([hashOf(b)]);
    await put(client, task.taskId, b);
    const accepted = { status: 'accepted', missing: [] };
    expect((await client.call('POST', path, { body: manifest })).json()).toEqual(accepted);
    expect(aggregator.submitted.filter((item) => item.task?.taskId === task.taskId)).toEqual([
      expect.objectContaining({
        weight: 20,
        metrics: [{ key: 'loss', value: { value: { $case: 'real', value: 0.25 } } }],
        tensors: [expect.objectContaining({ name: 'w' }), expect.objectContaining({ name: 'b' })],
      }),
    ]);
    // Who did not hear it asks again, also after the round has gone on.
    expect((await client.call('POST', path, { body: manifest })).json()).toEqual(accepted);
    // The first answer counts, as long as anybody knows of it.
    const another = { ...manifest, numExamples: 9 };
    expect(told(await client.call('POST', path, { body: another }))).toEqual(refusal(409, 'TASK_ANSWERED'));
    await fixture.withdraw(task);
    await eventually(async () =>
      expect((await client.call('POST', path, { body: manifest })).json()).toEqual(accepted),
    );
    expect(told(await client.call('POST', path, { body: another }))).toEqual(refusal(409, 'TASK_ANSWERED'));
    expect((await client.call('GET', '/api/v1/tasks')).json()).toEqual({ task: null });
    const stats = (await client.call('GET', '/api/v1/stats')).json();
    expect(stats).toMatchObject({
      runs: [{ runId: '77', rounds: 3, history: [{ accepted: 2, trainMetrics: { loss: 0.5 } }] }],
    });
  });

  it('evaluates, and says what it cannot do', async () => {
    const { client, nodeId } = await registered();
    const evaluation = await fixture.task(nodeId, { kind: TaskKind.EVALUATE });
    expect((await client.call('GET', '/api/v1/tasks?wait=20')).json().task?.kind).toBe('evaluate');
    const answer = { numExamples: 7, metrics: { accuracy: 0.5 } };
    await client.call('POST', `/api/v1/updates/${evaluation.taskId}`, { body: answer });
    expect(aggregator.submitted.at(-1)).toMatchObject({ task: { taskId: evaluation.taskId }, weight: 7, tensors: [] });
    const { taskId } = await fixture.task(nodeId);
    await client.call('GET', '/api/v1/tasks?wait=20');
    const failed = await client.call('POST', `/api/v1/tasks/${taskId}/fail`, { body: { reason: 'no data' } });
    expect(failed.json()).toEqual({ failed: true });
    expect(aggregator.failed).toContainEqual({ taskId, code: 0, reason: 'no data' });
  });

  it('reads the model as numpy does, whole, in ranges, or not again', async () => {
    const { client, nodeId } = await registered();
    const large = Float32Array.from({ length: 700_000 }, (_, at) => at % 977);
    const task = await fixture.task(nodeId, {}, modelOf({ 'layer/w': large, b: [0.5] }));
    const path = `/api/v1/model?task=${task.taskId}`;
    const whole = await client.call('GET', path);
    expect([whole.status, whole.headers['content-type']]).toEqual([200, 'application/zip']);
    const folder = await temporaryFolder('npz');
    await writeFile(join(folder.path, 'model.npz'), whole.bytes);
    const script = `import sys, zipfile
z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None
print(z.namelist(), z.read("b.npy") == bytes.fromhex(sys.argv[2]), len(z.read("layer/w.npy")))`;
    const shown = [script, join(folder.path, 'model.npz'), npyOf([0.5]).toString('hex')];
    const { stdout } = await promisify(execFile)('python3', ['-c', ...shown]);
    expect(stdout.trim()).toBe(`['layer/w.npy', 'b.npy'] True ${npyOf(large).byteLength}`);
    await folder.remove();
    const size = whole.bytes.byteLength;
    for (const [range, from, to] of [
      ['0-9', 0, 10],
      ['20-1500000', 20, 1_500_001],
      ['2800000-', 2_800_000, size],
      ['-30', size - 30, size],
    ] as const) {
      const part = await client.call('GET', path, { headers: { range: `bytes=${range}` } });
      expect([part.status, part.headers['content-range']]).toEqual([206, `bytes ${from}-${to - 1}/${size}`]);
      expect(part.bytes.equals(whole.bytes.subarray(from, to))).toBe(true);
    }
    expect((await client.call('GET', path, { headers: { range: `bytes=${size}-` } })).status).toBe(416);
    const etag = whole.headers.etag ?? '';
    expect((await client.call('GET', path, { headers: { 'if-none-match': etag } })).status).toBe(304);
    const changed = await client.call('GET', path, { headers: { range: 'bytes=0-9', 'if-range': '"other"' } });
    expect([changed.status, changed.bytes.byteLength]).toEqual([200, size]);
  });

  it('goes on in the middle of an upload at another gateway, with the same secret', async () => {
    const { client, nodeId } = await registered();
    const task = await fixture.task(nodeId);
    const path = `/api/v1/updates/${task.taskId}`;
    await client.call('POST', path, { body: manifest });
    await put(client, task.taskId, w);
    const other = await fixture.gateway({ config });
    const moved = new RestClient(other.target);
    Object.assign(moved, { node: client.node, secret: client.secret });
    const missing = [hashOf(b)];
    expect((await moved.call('POST', path, { body: manifest })).json()).toEqual({ status: 'incomplete', missing });
    // A nonce of one gateway is good at the other.
    const signed = { nonce: await client.nonce() };
    const stored = await moved.call('PUT', `${path}/parts/${hashOf(b)}`, { body: b, signed });
    expect(stored.json()).toEqual({ stored: true });
    await other.close();
    const last = await client.call('POST', path, { body: manifest });
    expect(last.json()).toEqual({ status: 'accepted', missing: [] });
  });
});

describe('what is refused', () => {
  it('everything where REST is off, and the configurations that make no sense', async () => {
    const { target } = await fixture.gateway();
    await expect(rawHttp(target, undefined, { path: '/api/v1/nonce', method: 'GET' })).rejects.toMatchObject({
      status: 404,
      body: expect.stringContaining('METHOD_UNKNOWN'),
    });
    await expect(fixture.gateway({ config: { rest: true, 'rest-key-file': undefined } })).rejects.toThrow(
      'rest-key-file',
    );
  });

  it('paths and methods that do not exist', async () => {
    const { client } = await registered();
    for (const [method, path] of [
      ['GET', '/api/v1'],
      ['GET', '/api/v1/models'],
      ['GET', '/api/v1/tasks/'],
    ] as const) {
      expect(told(await client.call(method, path))).toEqual(refusal(404, 'METHOD_UNKNOWN'));
    }
    const wrong = await client.call('DELETE', '/api/v1/tasks');
    expect(told(wrong)).toEqual(refusal(405, 'HTTP_METHOD'));
    expect(wrong.headers.allow).toBe('GET');
    const head = await client.call('HEAD', '/api/v1/model?task=T');
    expect([head.status, head.headers.allow, head.bytes.byteLength]).toEqual([405, 'GET', 0]);
  });

  it('a request without a good signature, and counts it', async () => {
    const { client } = await registered();
    const stranger = await registered();
    expect(told(await client.plain('GET', '/api/v1/tasks'))).toEqual(refusal(401, 'REST_SIGNATURE'));
    const forged = [
      { secret: 'x' },
      { secret: stranger.client.secret },
      { node: stranger.client.node },
      { node: '1' },
      { node: 'ada' },
      { method: 'POST' },
      { target: '/api/v1/tasks?wait=0' },
      { bodyHash: 'no hash' },
    ];
    for (const signed of forged) {
      const answer = await client.call('GET', '/api/v1/tasks', { signed });
      expect(told(answer)).toEqual(refusal(401, 'REST_SIGNATURE'));
      expect(answer.bytes.toString()).not.toContain(client.secret);
    }
    const metrics = await telemetry.renderMetrics();
    expect(metrics).toMatch(/aegis_gateway_refusals\S*\{[^}]*code="REST_SIGNATURE"[^}]*door="rest"[^}]*\} \d/);
  });

  it('a nonce used before, and one that nobody made', async () => {
    const { client } = await registered();
    const nonce = await client.nonce();
    expect((await client.call('GET', '/api/v1/tasks', { signed: { nonce } })).status).toBe(200);
    for (const again of [nonce, '', 'A'.repeat(51)]) {
      expect(told(await client.call('GET', '/api/v1/tasks', { signed: { nonce: again } }))).toEqual(
        refusal(401, 'REST_NONCE'),
      );
    }
  });

  it('a request that was recorded before the gateway started anew', async () => {
    const { client } = await registered();
    const before = await fixture.gateway({ config });
    const here = (target: Target) =>
      Object.assign(new RestClient(target), { node: client.node, secret: client.secret });
    const signed = { nonce: await here(before.target).nonce() };
    expect((await here(before.target).call('GET', '/api/v1/stats', { signed })).status).toBe(200);
    await before.close();
    const after = here((await fixture.gateway({ config })).target);
    expect(told(await after.call('GET', '/api/v1/stats', { signed }))).toEqual(refusal(401, 'REST_NONCE'));
    expect((await after.call('GET', '/api/v1/stats')).status).toBe(200);
  });

  it('a node that was removed, at once and at every gateway', async () => {
    const { client, nodeId } = await registered();
    await elsewhere.call('removeNode', { nodeId });
    await eventually(async () =>
      expect(told(await client.call('GET', '/api/v1/tasks'))).toEqual(refusal(401, 'NODE_KEY_UNKNOWN')),
    );
    // Its requests fill no memory: the same nonce is refused for the same reason.
    const signed = { nonce: await client.nonce() };
    for (let times = 0; times < 2; times += 1) {
      expect(told(await client.call('GET', '/api/v1/tasks', { signed }))).toEqual(refusal(401, 'NODE_KEY_UNKNOWN'));
    }
  });

  it("another node's task, one that is over, and a name that is none", async () => {
    const { client, nodeId } = await registered();
    const { nodeId: other } = await registered();
    const { taskId } = await fixture.task(other);
    const closed = await fixture.task(nodeId);
    aggregator.tasks.set(closed.taskId, 'TASK_CLOSED');
    for (const [method, path, body] of [
      ['GET', `/api/v1/model?task=${taskId}`, undefined],
      ['POST', `/api/v1/updates/${taskId}`, manifest],
      ['POST', `/api/v1/updates/..%2f`, manifest],
      ['POST', `/api/v1/tasks/${taskId}/fail`, { reason: '' }],
    ] as const) {
      expect(told(await client.call(method, path, { body }))).toEqual(refusal(410, 'TASK_NOT_FOUND'));
    }
    const late = await client.call('POST', `/api/v1/updates/${closed.taskId}`, { body: manifest });
    expect(told(late)).toEqual(refusal(410, 'TASK_CLOSED'));
    expect(told(await put(client, taskId, w))).toEqual(refusal(400, 'PART_NOT_ANNOUNCED'));
  });

  it('bodies that are not what was signed, named, typed or allowed', async () => {
    const { client, nodeId } = await registered();
    const { taskId } = await fixture.task(nodeId);
    const path = `/api/v1/updates/${taskId}`;
    await client.call('POST', path, { body: manifest });
    const part = `${path}/parts/${hashOf(w)}`;
    const say = async (...call: Parameters<RestClient['call']>) => told(await client.call(...call));
    expect(await say('PUT', part, { body: b, signed: { bodyHash: hashOf(w) } })).toEqual(refusal(400, 'BODY_HASH'));
    expect(await say('PUT', part, { body: b })).toEqual(refusal(400, 'PART_HASH'));
    const json = { 'content-type': 'application/json' };
    expect(await say('PUT', part, { body: w, headers: json })).toEqual(refusal(415, 'MEDIA_TYPE'));
    expect(await say('PUT', part, { body: Buffer.alloc(2 ** 20 + 1) })).toEqual(refusal(413, 'BODY_TOO_LARGE'));
    expect(await say('GET', '/api/v1/tasks', { body: w })).toEqual(refusal(413, 'BODY_TOO_LARGE'));
    expect(await say('POST', path, { body: Buffer.from('{'), headers: json })).toEqual(
      refusal(400, 'REQUEST_MALFORMED'),
    );
    for (const body of [
      { ...manifest, more: 1 },
      { ...manifest, numExamples: 0 },
      { ...manifest, metrics: { loss: 'low' } },
      { ...manifest, tensors: [{ name: 'w', slices: [] }] },
      { ...manifest, tensors: [{ name: 'w', slices: [{ sha256: 'x', length: 1 }] }] },
    ]) {
      expect(await say('POST', path, { body })).toEqual(refusal(400, 'REQUEST_MALFORMED'));
    }
    const twice = { ...manifest, metrics: { 'num-examples': 3 } };
    expect(await say('POST', path, { body: twice })).toEqual(refusal(400, 'REPLY_MALFORMED'));
    for (const query of ['wait=never', 'wait=0x1', 'wait=26', 'wait=-1', 'wait=', 'wait=1&wait=1', 'hold=1']) {
      expect(await say('GET', `/api/v1/tasks?${query}`)).toEqual(refusal(400, 'REQUEST_MALFORMED'));
    }
    expect(await say('GET', '/api/v1/stats?run=1')).toEqual(refusal(400, 'REQUEST_MALFORMED'));
    expect((await client.call('GET', '/api/v1/tasks?wait=0.001')).status).toBe(200);
    const stranger = new RestClient(gateway.target);
    const long = { body: { name: 'x'.repeat(10_000) } };
    expect(told(await stranger.plain('POST', '/api/v1/register', long))).toEqual(refusal(413, 'BODY_TOO_LARGE'));
    const hasty = { body: { heartbeatSeconds: 1 } };
    expect(told(await stranger.plain('POST', '/api/v1/register', hasty))).toEqual(refusal(400, 'REQUEST_MALFORMED'));
    // Nothing of all that spoilt the upload.
    for (const content of parts) await put(client, taskId, content);
    expect((await client.call('POST', path, { body: manifest })).json().status).toBe('accepted');
  });

  it('a body announced larger than it may be, before it comes, and one that nobody may send', async () => {
    const { client, nodeId } = await registered();
    const { taskId } = await fixture.task(nodeId);
    const path = `/api/v1/updates/${taskId}/parts/${hashOf(w)}`;
    const large = await client.call('PUT', path, { body: w, length: 2 ** 30 });
    expect(told(large)).toEqual(refusal(413, 'BODY_TOO_LARGE'));
    const forged = await client.call('PUT', path, { body: w, length: 2 ** 20, signed: { secret: 'x' } });
    expect(told(forged)).toEqual(refusal(401, 'REST_SIGNATURE'));
  });

  it('what is about no task of the node, before its body comes', async () => {
    const { client } = await registered();
    for (const path of ['/api/v1/updates/other', '/api/v1/tasks/other/fail']) {
      const early = await client.call('POST', path, { body: Buffer.from('{'), length: 2_000 });
      expect(told(early)).toEqual(refusal(410, 'TASK_NOT_FOUND'));
    }
  });

  it('a manifest that repeats more than any answer needs, by counting and not by reading it', async () => {
    const { client, nodeId } = await registered();
    const { taskId } = await fixture.task(nodeId);
    const path = `/api/v1/updates/${taskId}`;
    const say = async (body: object) => (await client.call('POST', path, { body })).bytes.toString();
    const metrics = Object.fromEntries(Array.from({ length: 10_001 }, (_, at) => [at, 0]));
    expect(await say({ numExamples: 1, metrics })).toContain('more than 10000 members in an object');
    const slices = Array(100_001).fill(0);
    expect(await say({ numExamples: 1, tensors: [{ name: 'w', slices }] })).toContain('more than 100000 items');
    const empty = Array(100_000).fill({});
    expect(await say({ numExamples: 1, tensors: [{ name: 'w', slices: empty }] })).toContain(
      'tensors.0.slices.0.sha256',
    );
    const halves = [[{ sha256: hashOf(w), length: 0 }], empty].map((slices) => ({ name: 'w', slices }));
    expect(await say({ numExamples: 1, tensors: halves })).toContain('More than 100000 slices');
    expect(await say({ numExamples: 1, tensors: [{ name: 'w', slices: [{ sha256: [] }] }] })).toContain('5 deep');
  });

  it("an answer that the aggregator does not take, with the aggregator's word", async () => {
    const { client, nodeId } = await registered();
    const { taskId } = await fixture.task(nodeId);
    const path = `/api/v1/updates/${taskId}`;
    await client.call('POST', path, { body: manifest });
    for (const content of parts) await put(client, taskId, content);
    aggregator.verdict = { accepted: false, refusalCode: 'UPDATE_NOT_FINITE', refusal: 'tensor w' };
    for (let times = 0; times < 2; times += 1) {
      expect(told(await client.call('POST', path, { body: manifest }))).toEqual(refusal(400, 'UPDATE_NOT_FINITE'));
    }
  });

  it('to count as present, or anything else, before it asked for work', async () => {
    const client = new RestClient(gateway.target);
    const nodeId = await client.register({ name: 'ghost' });
    const online = async () => {
      const { nodes } = await operator.call('listNodes', {});
      return nodes.find((node) => node.nodeId === nodeId)?.state;
    };
    for (const [method, path] of [
      ['GET', '/api/v1/stats'],
      ['GET', '/api/v1/model?task=T'],
      ['POST', '/api/v1/updates/T'],
    ] as const) {
      expect(told(await client.call(method, path))).toEqual(refusal(409, 'REST_NOT_AT_WORK'));
    }
    expect(await online()).toBe('registered');
    expect((await client.call('GET', '/api/v1/tasks')).json()).toEqual({ task: null });
    expect(await online()).toBe('online');
  });

  it('more registrations from one address than a minute may have', async () => {
    const limits = { 'rest-registrations-per-minute': 2 };
    // On a bus of its own: what others let this address register counts, too.
    const alone = await startTestNats();
    onTestFinished(() => alone.stop());
    const lonely = await GatewayFixture.open(alone, aggregator);
    onTestFinished(() => lonely.close());
    const { target } = await lonely.gateway({ config: { ...config, limits }, telemetry });
    const client = new RestClient(target);
    await client.register({});
    await client.register({});
    const third = await client.plain('POST', '/api/v1/register', { body: {} });
    expect(told(third)).toEqual(refusal(429, 'REGISTRATIONS'));
    expect(third.headers['retry-after']).toBe('60');
    const metrics = await telemetry.renderMetrics();
    expect(metrics).toMatch(/aegis_gateway_refusals\S*\{[^}]*code="REGISTRATIONS"[^}]*\} 1/);
  });

  it('masked and first-model tasks: their rounds hear so, the client never sees them', async () => {
    const { client, nodeId } = await registered();
    const first = await fixture.task(nodeId, { kind: TaskKind.INITIAL_MODEL, modelId: '' });
    expect(told(await client.call('GET', '/api/v1/tasks?wait=20'))).toEqual(refusal(410, 'TASK_CLOSED'));
    expect(aggregator.failed).toContainEqual(expect.objectContaining({ taskId: first.taskId }));
    const masked = await fixture.task(nodeId, { masking: Masking.decode(Buffer.alloc(0)) });
    const path = `/api/v1/updates/${masked.taskId}`;
    expect(told(await client.call('POST', path, { body: manifest }))).toEqual(refusal(400, 'ANSWER_NOT_MASKED'));
    const waiting = client.call('GET', '/api/v1/tasks?wait=20');
    await eventually(() =>
      expect(aggregator.failed).toContainEqual(expect.objectContaining({ taskId: masked.taskId })),
    );
    const plain = await fixture.task(nodeId);
    expect((await waiting).json().task?.taskId).toBe(plain.taskId);
  });
});

it('the document is the one of docs', async () => {
  const client = new RestClient(gateway.target);
  const document = await client.plain('GET', '/api/v1/openapi.json');
  const page = await readFile(join(import.meta.dirname, '../../../../../docs/openapi.json'), 'utf8');
  expect(document.json()).toEqual(JSON.parse(page));
});
