import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@aegis/service-kit';
import { type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DurableAuditStore } from '../store/durable-audit.ts';
import { GatewayFixture, TOKEN } from '../testing/gateway-fixture.ts';
import { NativeNode, type NativeStream } from '../testing/native-node.ts';
import { Operator } from '../testing/operator.ts';
import { RestClient } from '../testing/rest-client.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';

const nats = withNats();
let folder: TemporaryFolder;
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
let operator: Operator;

beforeAll(async () => {
  folder = await temporaryFolder('consent');
  await writeFile(join(folder.path, 'audit.key'), `${'3c'.repeat(32)}\n`, { mode: 0o600 });
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator());
  gateway = await fixture.gateway({ config: { rest: true, 'audit-key-file': join(folder.path, 'audit.key') } });
  operator = new Operator(gateway.target, TOKEN);
});
afterAll(async () => {
  operator.close();
  await fixture.close();
  await folder.remove();
});

const listed = async (node: bigint) =>
  (await operator.call('listConsents', {})).consents
    .filter(({ nodeId }) => nodeId === node)
    .map(({ to, version, given }) => [to, version, given]);
const audited = async (node: bigint) => {
  const store = await DurableAuditStore.open(gateway.bus, new Secret('3c'.repeat(32)));
  const entries = [];
  for await (const entry of store.read(0)) entries.push(entry);
  return entries
    .filter(({ subject, event }) => subject === `node ${node}` && event.startsWith('consent-'))
    .map(({ event, actor, detail }) => [event, actor, detail]);
};

describe('a REST client', () => {
  it('says what it consents to before it comes to work, takes it back, and reads what it said', async () => {
    const client = new RestClient(gateway.target);
    const node = await client.register();
    const say = (body: object) => client.call('PUT', '/api/v1/consent', { body });
    expect((await say({ purpose: 'ecg', version: 'v1', given: true })).status).toBe(200);
    expect((await say({ purpose: 'ecg', version: 'v1', given: true })).status).toBe(200);
    await say({ run: '7', given: false });
    expect(await listed(node)).toEqual(
      expect.arrayContaining([
        ['purpose:ecg', 'v1', true],
        ['run:7', '', false],
      ]),
    );
    await say({ purpose: 'ecg', given: false });
    const told = JSON.parse((await client.call('GET', '/api/v1/consent')).bytes.toString());
    expect(told.consents).toEqual(
      expect.arrayContaining([
        { purpose: 'ecg', version: 'v1', given: false, at: expect.stringMatching(/Z$/) },
        { run: '7', version: '', given: false, at: expect.stringMatching(/Z$/) },
      ]),
    );
    expect(await audited(node)).toEqual([
      ['consent-given', `node ${node}`, 'purpose:ecg v1'],
      ['consent-withdrawn', `node ${node}`, 'run:7'],
      ['consent-withdrawn', `node ${node}`, 'purpose:ecg v1'],
    ]);
  });

  it('is refused what makes no sense, and speaks for nobody else', async () => {
    const [client, other] = [new RestClient(gateway.target), new RestClient(gateway.target)];
    const [node] = [await client.register(), await other.register()];
    const say = (body: object) => client.call('PUT', '/api/v1/consent', { body });
    for (const body of [
      {},
      { purpose: 'ecg', version: 'v1' },
      { purpose: 'ecg', given: true },
      { purpose: 'ECG', version: 'v1', given: true },
      { purpose: 'ecg', run: '7', version: 'v1', given: true },
      { run: '-7', version: 'v1', given: true },
      { purpose: 'ecg', version: 'v 1', given: true },
    ])
      expect((await say(body)).status, JSON.stringify(body)).toBe(400);
    const forged = await other.call('PUT', '/api/v1/consent', {
      body: { purpose: 'ecg', version: 'v1', given: true },
      signed: { node: node.toString() },
    });
    expect(forged.status).toBe(401);
    expect(await listed(node)).toEqual([]);
    expect((await client.plain('PUT', '/api/v1/consent', { body: {} })).status).toBe(401);
  });
});

describe('a native client', () => {
  const say = async (stream: NativeStream, ...names: string[]) => {
    const given = names.map((name) => ({ name, version: 'v1' }));
    stream.say({ $case: 'purposes', value: { requestId: 5n, given } });
    return (await stream.answer('purposesKept')).value;
  };

  it('says all purposes at once: what it leaves out is withdrawn', async () => {
    const { stream, nodeId } = await new NativeNode(gateway.target).connect();
    expect(await say(stream, 'a', 'b')).toEqual({ requestId: 5n });
    await say(stream, 'b');
    expect(new Set(await listed(nodeId))).toEqual(
      new Set([
        ['purpose:a', 'v1', false],
        ['purpose:b', 'v1', true],
      ]),
    );
    await say(stream);
    expect((await listed(nodeId)).map(([, , given]) => given)).toEqual([false, false]);
    stream.close();
  });

  it('is refused what is no purpose, over a stream that goes on; too many of them end it', async () => {
    const { stream, nodeId } = await new NativeNode(gateway.target).connect();
    await expect(say(stream, 'No Name')).rejects.toThrow('REQUEST_MALFORMED');
    expect(await listed(nodeId)).toEqual([]);
    await say(stream, 'a');
    const given = Array.from({ length: 101 }, (_, at) => ({ name: `p${at}`, version: 'v1' }));
    stream.say({ $case: 'purposes', value: { requestId: 6n, given } });
    expect(await stream.code()).toBe('REQUEST_MALFORMED');
  });
});
