import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AuditEntry, OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import { fromGrpcStatus } from '@aegis/service-kit';
import { type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture, TOKEN } from '../testing/gateway-fixture.ts';
import { NodeKey } from '../testing/node-key.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import type { Target } from '../testing/wire-client.ts';

const nats = withNats();
const aggregator = new ScriptedAggregator();
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
let client: Client;
let folder: TemporaryFolder;

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator, { tls: true });
  gateway = await fixture.gateway({ config: { enrolment: 'registered' } });
  client = clientOf(gateway.target);
  folder = await temporaryFolder('audit');
  await writeFile(join(folder.path, 'audit.key'), `${'3c'.repeat(32)}\n`, { mode: 0o600 });
});
const clientOf = ({ host, port, ca }: Target): Client =>
  new Client(`${host}:${port}`, credentials.createSsl(ca ?? null), {
    'grpc.ssl_target_name_override': 'localhost',
    'grpc.max_receive_message_length': -1,
  });
afterAll(async () => {
  client.close();
  await fixture.close();
  await folder.remove();
});

const withToken = (token: string): Metadata => {
  const metadata = new Metadata();
  if (token !== '') metadata.set('authorization', `Bearer ${token}`);
  return metadata;
};

type Streamed = 'watchRun' | 'exportModel' | 'readAudit';
type Unary = Exclude<keyof typeof OperatorService, Streamed>;
// biome-ignore lint/suspicious/noExplicitAny: the door is tried with whatever a client may send
const call = (name: Unary, request: any, token = TOKEN, to = client): Promise<any> =>
  new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = OperatorService[name];
    const serialize = requestSerialize as (message: unknown) => Buffer;
    const deserialize = responseDeserialize as (bytes: Buffer) => unknown;
    to.makeUnaryRequest(path, serialize, deserialize, request, withToken(token), (error, answer) =>
      error ? reject(fromGrpcStatus(error)) : resolve(answer),
    );
  });
const stream = async (name: Streamed, request: unknown, token = TOKEN, from = client): Promise<unknown[]> => {
  const { path, requestSerialize, responseDeserialize } = OperatorService[name];
  const serialize = requestSerialize as (message: unknown) => Buffer;
  const deserialize = responseDeserialize as (bytes: Buffer) => unknown;
  const answers: unknown[] = [];
  const items = from.makeServerStreamRequest(path, serialize, deserialize, request, withToken(token));
  try {
    for await (const item of items) answers.push(item);
  } catch (error) {
    throw fromGrpcStatus(error as ServiceError);
  }
  return answers;
};

describe('the operator door', () => {
  it.each(['', 'wrong', `${TOKEN}x`, TOKEN.slice(1)])('is shut to the token %j', async (token) => {
    const refused = { code: 'OPERATOR_UNAUTHENTICATED' };
    await expect(call('listNodes', {}, token)).rejects.toMatchObject(refused);
    await expect(call('removeNode', { nodeId: 1n }, token)).rejects.toMatchObject(refused);
    await expect(
      stream('exportModel', { modelId: 'm', runId: 0n, round: 0, format: 'npz' }, token),
    ).rejects.toMatchObject(refused);
  });

  it('writes down what operators and nodes did, and who was refused, in a log that outlives the gateway', async () => {
    const config = { enrolment: 'open', 'audit-key-file': join(folder.path, 'audit.key') };
    const kept = await fixture.gateway({ config });
    const there = clientOf(kept.target);
    const key = new NodeKey();
    const { nodeId } = await call('approveNode', { publicKey: key.publicKeyPem, name: 'site-a' }, TOKEN, there);
    await call('removeNode', { nodeId }, TOKEN, there);
    await expect(call('listNodes', {}, 'wrong', there)).rejects.toMatchObject({ code: 'OPERATOR_UNAUTHENTICATED' });
    await fixture.node(kept.target, 'A').start();
    there.close();
    await kept.close();
    const again = await fixture.gateway({ config });
    const client = clientOf(again.target);
    const entries = (await stream('readAudit', { after: 0n }, TOKEN, client)) as AuditEntry[];
    const lines = entries.map(({ event, actor, subject }) => `${event} ${actor} ${subject}`);
    expect(lines).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^gateway-started gateway gateway /),
        `node-approved operator node ${nodeId}`,
        `node-removed operator node ${nodeId}`,
        expect.stringMatching(/^caller-refused 127\.0\.0\.1 operator /),
        expect.stringMatching(/^node-enrolled node \d+ node \d+$/),
        expect.stringMatching(/^gateway-stopped /),
      ]),
    );
    expect(entries.map(({ sequence }) => sequence)).toEqual(entries.map((_, at) => BigInt(at + 1)));
    expect(JSON.stringify(entries, (_key, value) => (typeof value === 'bigint' ? `${value}` : value))).not.toContain(
      TOKEN,
    );
    client.close();
  });

  it('lets each token do what its role allows, and writes down whose it was', async () => {
    const file = join(folder.path, 'operators.json');
    const of = (name: string, role: string) => ({
      name,
      role,
      sha256: createHash('sha256').update(name).digest('hex'),
    });
    await writeFile(file, JSON.stringify({ operators: [of('vera', 'viewer'), of('ada', 'admin')] }), { mode: 0o600 });
    const config = { 'operators-file': file, 'audit-key-file': join(folder.path, 'audit.key') };
    const roles = await fixture.gateway({ config });
    const there = clientOf(roles.target);
    await call('listNodes', {}, 'vera', there);
    const forbidden = { code: 'OPERATOR_FORBIDDEN', message: expect.stringContaining('vera, a viewer') };
    await expect(call('removeNode', { nodeId: 1n }, 'vera', there)).rejects.toMatchObject(forbidden);
    await expect(stream('readAudit', { after: 0n }, 'vera', there)).rejects.toMatchObject(forbidden);
    const { nodeId } = await call('approveNode', { publicKey: new NodeKey().publicKeyPem, name: '' }, 'ada', there);
    const entries = (await stream('readAudit', { after: 0n }, 'ada', there)) as AuditEntry[];
    expect(entries).toContainEqual(
      expect.objectContaining({ event: 'node-approved', actor: 'operator ada', subject: `node ${nodeId}` }),
    );
    expect(entries).toContainEqual(
      expect.objectContaining({ event: 'caller-refused', detail: expect.stringContaining('OPERATOR_FORBIDDEN') }),
    );
    there.close();
  });

  it('has no such log without a key for it', async () => {
    await expect(stream('readAudit', { after: 0n })).rejects.toMatchObject({ code: 'AUDIT_NOT_KEPT' });
  });

  it('approves a key, which then works, and removes the node, which is then refused', async () => {
    const key = new NodeKey();
    const node = fixture.node(gateway.target, 'B', key);
    await expect(node.start()).rejects.toMatchObject({ status: 9, body: expect.stringContaining('2001') });
    await expect(node.messages.activateNode(key.publicKeyPem, 30)).rejects.toMatchObject({ status: 16 });

    const { nodeId } = await call('approveNode', { publicKey: key.publicKeyPem, name: 'site-a' });
    await expect(call('approveNode', { publicKey: key.publicKeyPem, name: 'again' })).rejects.toMatchObject({
      code: 'NODE_KEY_IN_USE',
    });
    const listed = async () =>
      (await call('listNodes', {})).nodes.find((found: { nodeId: bigint }) => found.nodeId === nodeId);
    expect(await listed()).toMatchObject({ state: 'registered', name: 'site-a', selfRegistered: false, masks: false });

    expect(await node.start({ register: false })).toBe(nodeId);
    expect(await listed()).toMatchObject({ state: 'online', dialect: 'grpc', flwrVersion: '1.39.0' });
    const task = await fixture.task(nodeId);
    await node.work();
    await call('removeNode', { nodeId });
    expect(await listed()).toMatchObject({ state: 'removed' });
    expect(aggregator.failed.at(-1)).toMatchObject({ taskId: task.taskId });
    await expect(node.heartbeat()).rejects.toMatchObject({ status: 16 });
    await expect(node.pull()).rejects.toMatchObject({ status: 16 });
    await expect(node.start()).rejects.toMatchObject({ status: 16 });

    const again = await call('approveNode', { publicKey: key.publicKeyPem, name: 'site-a' });
    expect(again.nodeId).not.toBe(nodeId);
    expect(await node.start({ register: false })).toBe(again.nodeId);
  });

  it('works for dialect C and HTTP nodes whose key was approved', async () => {
    for (const dialect of ['A', 'C'] as const) {
      const node = fixture.node(gateway.target, dialect);
      await expect(node.start()).rejects.toMatchObject({ status: dialect === 'A' ? 412 : 16 });
      const { nodeId } = await call('approveNode', { publicKey: node.key.publicKeyPem, name: '' });
      expect(await node.start({ register: false })).toBe(nodeId);
    }
  });

  it.each([
    ['a key that is none', 'approveNode', { publicKey: Buffer.from('hello'), name: '' }, 'NODE_KEY_INVALID'],
    ['a node nobody knows', 'removeNode', { nodeId: 5n }, 'NODE_NOT_FOUND'],
    ['a run nobody knows', 'stopRun', { runId: 5n }, 'RUN_NOT_FOUND'],
  ] as const)('refuses %s', async (_name, method, request, code) => {
    await expect(call(method, request)).rejects.toMatchObject({ code });
  });

  it('passes runs, plans and models on, large ones unharmed', async () => {
    const { runId } = aggregator.addRun(77n);
    const { runs } = await call('listRuns', { runId, limit: 0, skip: 0 });
    expect(runs).toMatchObject([
      { run: { runId, appId: 'aegis/app' }, history: [{ trainMetrics: [{ key: 'loss' }] }] },
    ]);
    const plan = { appHash: '', appDigest: 'd', appId: 'a', planJson: '{}', modelNpz: Buffer.alloc(2_000_000, 7) };
    expect(await call('putPlan', plan)).toEqual({ modelId: 'model of 2000000 bytes' });
    expect(await call('importModel', { name: 'n', format: 'npz', content: Buffer.alloc(10_000) })).toMatchObject({
      name: 'n',
      bytes: 10_000n,
    });
    expect((await call('listModels', { runId: undefined })).models).toHaveLength(1);
    const big = { name: 'big', format: 'npz', content: Buffer.alloc(100 * 2 ** 20) };
    expect(await call('importModel', big)).toMatchObject({ bytes: 100n * 2n ** 20n });
    const chunks = await stream('exportModel', { modelId: 'm', runId: 0n, round: 0, format: 'npz' });
    expect(chunks).toEqual([
      { fileName: 'model.npz', content: Buffer.alloc(100_000, 1) },
      { fileName: '', content: Buffer.alloc(50_000, 2) },
    ]);
    await call('stopRun', { runId });
    await expect(call('stopRun', { runId })).rejects.toMatchObject({ code: 'RUN_FINISHED' });
  });
});
