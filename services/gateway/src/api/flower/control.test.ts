import {
  ListFederationsResponse,
  ListNodesResponse,
  ListRunsRequest,
  ListRunsResponse,
  RegisterNodeRequest,
  RegisterNodeResponse,
  StartRunRequest,
  StartRunResponse,
  StopRunRequest,
  StopRunResponse,
  StreamLogsRequest,
  StreamLogsResponse,
  UnregisterNodeRequest,
} from '@aegis/contracts/flwr/proto/control';
import { withNats } from '@aegis/testkit';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../../testing/gateway-fixture.ts';
import { NodeKey } from '../../testing/node-key.ts';
import { ScriptedAggregator } from '../../testing/scripted-aggregator.ts';
import { rawGrpc, rawHttp } from '../../testing/wire-client.ts';

const nats = withNats();
const aggregator = new ScriptedAggregator();
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
let grpc: Client;

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator);
  gateway = await fixture.gateway();
  grpc = new Client(`${gateway.target.host}:${gateway.target.port}`, credentials.createInsecure());
});
afterAll(async () => {
  grpc.close();
  await fixture.close();
});

type Send = (method: string, body: Uint8Array) => Promise<Buffer>;
const overHttp: Send = (method, body) =>
  rawHttp(gateway.target, undefined, {
    path: `/v1/control/${method}`,
    body,
    headers: { 'content-type': 'application/protobuf', 'x-flwr-client': 'cli', 'flwr-package-version': '1.41.0' },
  });
const overGrpc =
  (service: string): Send =>
  (method, body) => {
    const rpc = method.replaceAll(/(?:^|-)([a-z])/g, (_all, letter: string) => letter.toUpperCase());
    return rawGrpc(grpc, `/flwr.proto.${service}/${rpc}`, body, new Metadata());
  };

const startRun = (content: string, federation = '') =>
  StartRunRequest.encode({
    ...StartRunRequest.decode(new Uint8Array()),
    fab: { hashStr: '', content: Buffer.from(content), verifications: {} },
    federation,
  }).finish();

const clis: [string, Send, { refused: number }][] = [
  ['HTTP (1.39 and newer)', (method, body) => overHttp(method, body), { refused: 412 }],
  ['gRPC Control (1.22 to 1.36)', (method, body) => overGrpc('Control')(method, body), { refused: 9 }],
];

describe.each(clis)('the flwr command over %s', (_name, send, { refused }) => {
  it('starts, lists and stops a run', async () => {
    const { runId, federation } = StartRunResponse.decode(await send('start-run', startRun('a bundle')));
    expect(runId).toBe(2n ** 64n - 5n);
    expect(['', '@none/default']).toContain(federation);
    const list = ListRunsRequest.encode({ ...ListRunsRequest.decode(new Uint8Array()), runId }).finish();
    const { runDict } = ListRunsResponse.decode(await send('list-runs', list));
    expect(runDict.get(runId ?? 0n)).toMatchObject({ fabId: 'aegis/app', status: { status: 'running' } });
    const stop = StopRunRequest.encode({ ...StopRunRequest.decode(new Uint8Array()), runId: runId ?? 0n }).finish();
    expect(StopRunResponse.decode(await send('stop-run', stop)).success).toBe(true);
    await expect(send('stop-run', stop)).rejects.toMatchObject({ status: refused });
  });

  it('is told how to import an app that has no plan', async () => {
    await expect(send('start-run', startRun('no plan'))).rejects.toMatchObject({
      status: refused,
      body: expect.stringContaining('aegis app import'),
    });
  });

  it('is refused a federation there is not, and an app it did not send', async () => {
    await expect(send('start-run', startRun('a bundle', '@me/mine'))).rejects.toThrow(/FEDERATION_NOT_FOUND/);
    await expect(send('start-run', startRun(''))).rejects.toThrow(/APP_NOT_FOUND/);
  });

  it('registers, lists and unregisters a node', async () => {
    const key = new NodeKey();
    const blank = RegisterNodeRequest.decode(new Uint8Array());
    const register = RegisterNodeRequest.encode({ ...blank, publicKey: key.publicKeyPem }).finish();
    const { nodeId } = RegisterNodeResponse.decode(await send('register-node', register));
    await expect(send('register-node', register)).rejects.toMatchObject({ status: refused });
    const listed = async () =>
      ListNodesResponse.decode(await send('list-nodes', new Uint8Array())).nodesInfo.find(
        (node) => node.nodeId === nodeId,
      );
    expect(await listed()).toMatchObject({ status: 'registered', publicKey: key.publicKeyPem });
    const node = fixture.node(gateway.target, 'A', key);
    expect(await node.start({ register: false })).toBe(nodeId);
    expect(await listed()).toMatchObject({ status: 'online', heartbeatInterval: 30 });
    await send('unregister-node', UnregisterNodeRequest.encode({ nodeId: nodeId ?? 0n }).finish());
    expect(await listed()).toBeUndefined();
    await expect(node.heartbeat()).rejects.toMatchObject({ status: 401 });
  });

  it('sees the one federation', async () => {
    const { federations } = ListFederationsResponse.decode(await send('list-federations', new Uint8Array()));
    expect(federations.map(({ name }) => name)).toEqual(['@none/default']);
  });
});

describe.each(clis)('a gateway without Control, over %s', (_name, _send, { refused }) => {
  it('refuses in words that the command prints', async () => {
    const off = await fixture.gateway({ config: { control: 'off' } });
    const client = new Client(`${off.target.host}:${off.target.port}`, credentials.createInsecure());
    try {
      const attempt =
        refused === 412
          ? rawHttp(off.target, undefined, {
              path: '/v1/control/start-run',
              body: startRun('a bundle'),
              headers: { 'content-type': 'application/protobuf', 'flwr-package-version': '1.41.0' },
            })
          : rawGrpc(client, '/flwr.proto.Control/StartRun', startRun('a bundle'), new Metadata());
      await expect(attempt).rejects.toMatchObject({
        status: refused === 412 ? 403 : 7,
        body: expect.stringContaining('CONTROL_NOT_HERE: This caller may not use the Control API. It is switched off'),
      });
    } finally {
      client.close();
    }
  });
});

describe('logs', () => {
  it('stream over HTTP until the run ends, what there is in one piece', async () => {
    const { runId } = aggregator.addRun(9n);
    const body = StreamLogsRequest.encode({ ...StreamLogsRequest.decode(new Uint8Array()), runId }).finish();
    const framed = await overHttp('stream-logs', body);
    const lines: string[] = [];
    for (let at = 0; at < framed.length; at += 4 + framed.readUInt32BE(at)) {
      lines.push(StreamLogsResponse.decode(framed.subarray(at + 4, at + 4 + framed.readUInt32BE(at))).logOutput);
    }
    expect(lines).toEqual(['run 9\nround 1/3\n', 'round 2/3\n', 'round 3/3\n']);
  });
});

describe('flwr 1.20', () => {
  it('calls the same service Exec', async () => {
    expect(StartRunResponse.decode(await overGrpc('Exec')('start-run', startRun('a bundle'))).runId).toBe(
      2n ** 64n - 5n,
    );
  });
});
