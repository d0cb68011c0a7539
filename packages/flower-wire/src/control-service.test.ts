import * as control from '@aegis/contracts/flwr/proto/control';
import type { NodeInfo } from '@aegis/contracts/flwr/proto/node';
import { Run } from '@aegis/contracts/flwr/proto/run';
import { describe, expect, it } from 'vitest';
import type { ControlHandler, NodeListing, RunListing } from './control-contract.ts';
import { ControlService } from './control-service.ts';
import type { CallHead } from './fleet-service.ts';
import { limits } from './limits.ts';
import { parseTimestamp } from './node-auth.ts';
import { readTranscript } from './recorded.ts';
import { fromWireScalar } from './records.ts';
import { ScriptedControl } from './scripted-handlers.ts';
import { toWireRun } from './wire-run.ts';

const head = (headers: Record<string, string> = { 'flwr-package-version': '1.41.0' }): CallHead => ({
  dialect: 'http',
  connection: {},
  peer: '192.0.2.7',
  signal: new AbortController().signal,
  text: (name) => headers[name] ?? '',
  binary: () => null,
});

async function serve(
  handler: Partial<ControlHandler>,
  method: string,
  body: Uint8Array,
  { now = 0, headers = undefined as Record<string, string> | undefined } = {},
): Promise<Uint8Array> {
  const service = new ControlService(handler as ControlHandler, { now: () => now * 1000 });
  const answer = await service.call(method, Buffer.from(body), head(headers));
  return answer.kind === 'message' ? answer.bytes : expect.fail('a stream');
}

const blankRun = Run.decode(new Uint8Array());
const seconds = (iso: string | undefined): number => (iso ? (parseTimestamp(iso) ?? Number.NaN) : 0);

const runOf = (run: Run): RunListing => ({
  runId: run.runId,
  seriesId: run.seriesId,
  appId: run.fabId,
  appVersion: run.fabVersion,
  appHash: run.fabHash,
  overrides: Object.entries(run.overrideConfig).map(([key, value]) => fromWireScalar(key, value)),
  status: run.status ?? { status: '', subStatus: '', details: '' },
  federation: run.federation,
  pendingAt: seconds(run.pendingAt),
  startingAt: seconds(run.startingAt),
  runningAt: seconds(run.runningAt),
  finishedAt: seconds(run.finishedAt),
  bytesSent: run.bytesSent,
  bytesReceived: run.bytesRecv,
  clientappSeconds: run.clientappRuntime,
  owner: undefined,
});

const nodeOf = (node: NodeInfo): NodeListing => ({
  nodeId: node.nodeId,
  status: node.status as NodeListing['status'],
  registeredAt: seconds(node.registeredAt),
  lastActivatedAt: seconds(node.lastActivatedAt),
  lastDeactivatedAt: seconds(node.lastDeactivatedAt),
  unregisteredAt: seconds(node.unregisteredAt),
  onlineUntil: node.onlineUntil ?? 0,
  heartbeatSeconds: node.heartbeatInterval,
  publicKeyPem: node.publicKey,
  name: node.name ?? '',
  location: node.location ?? '',
});

const calls = [
  ...readTranscript('fedavg.control'),
  ...readTranscript('tls.control'),
  ...readTranscript('v122.control-grpc'),
];
const recorded = (method: string) =>
  calls.filter((call) => call.method === method && [200, 'OK'].includes(call.status));

describe('answers of a real server, given by our service', () => {
  it('start-run: the bundle byte for byte, and the new run', async () => {
    for (const call of recorded('start-run')) {
      const theirs = control.StartRunRequest.decode(call.request);
      const answer = control.StartRunResponse.decode(call.response);
      const started: Parameters<ControlHandler['startRun']>[1][] = [];
      const startRun: ControlHandler['startRun'] = async (_c, command) => {
        started.push({ ...command, fab: Buffer.from(command.fab) });
        const { runId = 0n, seriesId = 0n, note = '', federation } = answer;
        return { runId, seriesId, note, federation };
      };
      const ours = control.StartRunResponse.decode(await serve({ startRun }, 'start-run', call.request));
      expect(ours).toEqual({ ...answer, seriesId: answer.seriesId ?? 0n });
      expect(started[0]).toMatchObject({ fab: theirs.fab?.content, fabHash: theirs.fab?.hashStr, appSpec: '' });
    }
  });

  it('list-runs: every field but the task id of a ServerApp process, which we have not', async () => {
    for (const call of recorded('list-runs')) {
      const { runDict, now } = control.ListRunsResponse.decode(call.response);
      const listRuns = async () => [...runDict.values()].map(runOf);
      const bytes = await serve({ listRuns }, 'list-runs', call.request, { now: seconds(now) });
      const expected = new Map([...runDict].map(([id, run]) => [id, { ...run, primaryTaskId: undefined }]));
      const { runDict: ours, now: ourNow } = control.ListRunsResponse.decode(bytes);
      expect(ours).toEqual(expected);
      expect(seconds(ourNow)).toBeCloseTo(seconds(now), 5);
    }
  });

  it('list-nodes: every field', async () => {
    for (const call of recorded('list-nodes')) {
      const { nodesInfo, now } = control.ListNodesResponse.decode(call.response);
      const listNodes = async () => nodesInfo.map(nodeOf);
      const bytes = await serve({ listNodes }, 'list-nodes', call.request, { now: seconds(now) });
      expect(control.ListNodesResponse.decode(bytes).nodesInfo).toEqual(nodesInfo);
    }
  });

  it('register-node and list-federations: byte for byte', async () => {
    for (const call of recorded('register-node')) {
      const { nodeId = 0n } = control.RegisterNodeResponse.decode(call.response);
      const ours = await serve({ registerNode: async () => nodeId }, 'register-node', call.request);
      expect(call.response.equals(ours)).toBe(true);
    }
    for (const call of recorded('list-federations')) {
      const listFederations = async () =>
        control.ListFederationsResponse.decode(call.response).federations.map(({ name, description }) => ({
          name,
          description,
          nodes: [],
          runs: [],
        }));
      expect(call.response.equals(await serve({ listFederations }, 'list-federations', call.request))).toBe(true);
    }
  });
});

describe('other releases', () => {
  const node: NodeListing = {
    nodeId: 5n,
    status: 'online',
    registeredAt: 1795293041,
    lastActivatedAt: 0,
    lastDeactivatedAt: 0,
    unregisteredAt: 0,
    onlineUntil: 0,
    heartbeatSeconds: 30,
    publicKeyPem: Buffer.from('key'),
    name: '',
    location: '',
  };

  it('1.23 gets the old layout of NodeInfo when it says that it is 1.23, nobody else does', async () => {
    const listNodes = async () => [node];
    const headers = { 'flwr-package-version': '1.23.0' };
    const old = control.ListNodesResponse123.decode(
      await serve({ listNodes }, 'list-nodes', Buffer.alloc(0), { headers }),
    );
    expect(old.nodesInfo[0]).toMatchObject({ status: 'online', registeredAt: '2026-11-21T20:30:41+00:00' });
    for (const version of ['', '1.24.0', '1.41.0']) {
      const bytes = await serve({ listNodes }, 'list-nodes', Buffer.alloc(0), {
        headers: { 'flwr-package-version': version },
      });
      expect(control.ListNodesResponse.decode(bytes).nodesInfo[0]).toMatchObject({
        ownerName: 'none',
        status: 'online',
      });
    }
  });

  it('who announces no release is told the names of federations only, which every layout has', async () => {
    const federation = { name: 'f', description: 'text', nodes: [node], runs: [] };
    const showFederation = async () => federation;
    const bytes = await serve({ showFederation }, 'show-federation', Buffer.alloc(0), { headers: {} });
    expect(Buffer.from(bytes).toString('latin1', 2, 5)).toBe('\x0a\x01f');
    expect(control.ShowFederationResponse.decode(bytes).federation).toMatchObject({ nodes: [], description: '' });
  });

  it('federation options of 1.26 and older do no harm', async () => {
    // StartRunRequest.3 as a ConfigRecord with one text entry.
    const options = Buffer.from('1a0c0a0a0a016b12052a03616263', 'hex');
    const startRun = async () => ({ runId: 1n, seriesId: 2n, note: '', federation: '' });
    const answer = control.StartRunResponse.decode(await serve({ startRun }, 'start-run', options));
    expect(answer.runId).toBe(1n);
  });
});

describe('accounts', () => {
  const handler = new ScriptedControl();
  const wire = control;

  it('log in by the device flow; until it is approved both tokens are empty', async () => {
    const details = wire.GetLoginDetailsResponse.decode(await serve(handler, 'get-login-details', Buffer.alloc(0)));
    expect(details).toMatchObject({ authnType: 'oidc', deviceCode: 'device', expiresIn: 60n, interval: 1n });
    expect(details.verificationUriComplete).toBe('https://idp.example/?code=A');
    const ask = async (deviceCode: string) =>
      wire.GetAuthTokensResponse.decode(
        await serve(handler, 'get-auth-tokens', wire.GetAuthTokensRequest.encode({ deviceCode }).finish()),
      );
    expect(await ask('another')).toEqual({ accessToken: '', refreshToken: '' });
    expect(await ask('device')).toEqual({ accessToken: 'access', refreshToken: 'refresh' });
    const renew = wire.RefreshAuthTokensRequest.encode({ refreshToken: 'r1' }).finish();
    const renewed = wire.RefreshAuthTokensResponse.decode(await serve(handler, 'refresh-auth-tokens', renew));
    expect(renewed).toEqual({ accessToken: 'access after r1', refreshToken: 'refresh again' });
  });

  it('are named with the runs they started, to commands and not to nodes', async () => {
    const run = { ...runOf(blankRun), runId: 5n, owner: { id: 'oidc:1', name: 'ada' } };
    const list = await serve({ listRuns: async () => [run] }, 'list-runs', Buffer.alloc(0));
    const listed = wire.ListRunsResponse.decode(list).runDict.get(5n);
    expect(listed).toMatchObject({ flwrAid: 'oidc:1', accountName: 'ada' });
    const { pendingAt: _, ...ofNode } = run;
    expect(toWireRun(ofNode)).toMatchObject({ flwrAid: '<id:none>', accountName: 'none' });
  });
});

describe('requests that must be refused', () => {
  const code = (name: string) => expect.objectContaining({ code: name });

  it('unknown methods, methods of the hosted product, unknown runs, heads that are too large', async () => {
    await expect(serve({}, 'nonsense', Buffer.alloc(0))).rejects.toThrow(code('METHOD_UNKNOWN'));
    await expect(serve({}, 'constructor', Buffer.alloc(0))).rejects.toThrow(code('METHOD_UNKNOWN'));
    await expect(serve({}, 'pull-artifacts', Buffer.alloc(0))).rejects.toThrow(code('METHOD_NOT_OFFERED'));
    const one = control.ListRunsRequest.encode({ runId: 7n, limit: undefined, skip: undefined }).finish();
    await expect(serve({ listRuns: async () => [] }, 'list-runs', one)).rejects.toThrow(code('RUN_NOT_FOUND'));
    const wide = Buffer.alloc(limits.startRunHead + 2, Buffer.from([0x12, 0x00]));
    await expect(serve({}, 'start-run', wide)).rejects.toThrow(code('BODY_TOO_LARGE'));
  });

  it('the token is found in either dialect', async () => {
    const tokens: string[] = [];
    const stopRun: ControlHandler['stopRun'] = async ({ token }) => tokens.push(token) > 0;
    const given: Record<string, string>[] = [{ authorization: 'Bearer abc' }, { 'flwr-oidc-access-token': 'def' }, {}];
    for (const headers of given) {
      await serve({ stopRun }, 'stop-run', Buffer.alloc(0), { headers });
    }
    expect(tokens).toEqual(['abc', 'def', '']);
  });
});
