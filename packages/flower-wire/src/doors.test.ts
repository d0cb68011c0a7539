import { connect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import * as control from '@aegis/contracts/flwr/proto/control';
import { GetFabRequest, GetFabResponse } from '@aegis/contracts/flwr/proto/fab';
import * as fleetMessages from '@aegis/contracts/flwr/proto/fleet';
import { SendNodeHeartbeatRequest, SendNodeHeartbeatResponse } from '@aegis/contracts/flwr/proto/heartbeat';
import * as messages from '@aegis/contracts/flwr/proto/message';
import { GetRunRequest, GetRunResponse } from '@aegis/contracts/flwr/proto/run';
import { AegisError } from '@aegis/errors';
import { eventually } from '@aegis/testkit';
import { status as grpcStatus } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import type { FlowerRun } from './fleet-contract.ts';
import { sha256HexSync } from './hash.ts';
import { limits } from './limits.ts';
import { makeMessageObject, toWireMetadata } from './message.ts';
import { decodeObjectTree, idsOf, toWireTree } from './object-tree.ts';
import { makeObject, namesBody } from './objects.ts';
import { encodeMetricRecord } from './records.ts';
import {
  GrpcClient,
  HttpClient,
  NODE_ID,
  nodeKey,
  RUN_ID,
  type ScriptedDoors,
  scriptedTask,
  startDoors,
} from './scripted-doors.ts';
import { ScriptedFleet } from './scripted-handlers.ts';

const run: FlowerRun = {
  runId: RUN_ID,
  seriesId: 77n,
  appId: 'aegis/app',
  appVersion: '1.0.0',
  appHash: sha256HexSync([Buffer.from('fab')]),
  overrides: [{ key: 'lr', value: { kind: 'real', value: 0.5 } }],
  status: { status: 'running', subStatus: '', details: '' },
  federation: '@none/default',
};

const node = { nodeId: NODE_ID };
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

const task = await scriptedTask();

async function doors(options: { tls?: boolean; holdMs?: number; limits?: object } = {}): Promise<ScriptedDoors> {
  const fleet = new ScriptedFleet({
    nodeId: NODE_ID,
    run,
    fab: Buffer.from('fab'),
    read: task.read,
    holdMs: options.holdMs ?? 0,
  });
  const started = await startDoors({ fleet, tls: options.tls ?? false, limits: options.limits ?? {} });
  open.push(started);
  return started;
}
const httpClient = (to: ScriptedDoors): HttpClient => {
  const client = new HttpClient(to);
  open.push(client);
  return client;
};
const grpcClient = (to: ScriptedDoors, adapter = false): GrpcClient => {
  const client = new GrpcClient(to, adapter);
  open.push(client);
  return client;
};
const until = (condition: () => boolean): Promise<unknown> => eventually(condition);

const pull = fleetMessages.PullMessagesRequest.encode({ node, messageIds: [] }).finish();
const beat = SendNodeHeartbeatRequest.encode({ node, heartbeatInterval: 30 }).finish();

/** Everything a node does for one task. */
async function liveAsNode(call: (method: string, body: Uint8Array) => Promise<Buffer>, old = false): Promise<void> {
  if (old) {
    const created = await call(
      'create-node',
      fleetMessages.CreateNodeRequest.encode({ heartbeatInterval: 30 }).finish(),
    );
    expect(fleetMessages.CreateNodeResponse.decode(created)).toEqual({ node });
  } else {
    const publicKey = nodeKey.pem;
    const registration = fleetMessages.RegisterNodeFleetRequest.encode({ publicKey }).finish();
    const registered = fleetMessages.RegisterNodeFleetResponse.decode(await call('register-node', registration));
    expect(registered.nodeId).toBe(NODE_ID);
    const activation = fleetMessages.ActivateNodeRequest.encode({ publicKey, heartbeatInterval: 30 }).finish();
    const activated = fleetMessages.ActivateNodeResponse.decode(await call('activate-node', activation));
    expect(activated.nodeId).toBe(NODE_ID);
  }
  expect(SendNodeHeartbeatResponse.decode(await call('send-node-heartbeat', beat))).toEqual({ success: true });

  const offer = fleetMessages.PullMessagesResponse.decode(await call('pull-messages', pull));
  const metadata = offer.messagesList[0]?.metadata ?? expect.fail('no message');
  const getRun = GetRunRequest.encode({ node, runId: RUN_ID }).finish();
  expect(GetRunResponse.decode(await call('get-run', getRun)).run).toMatchObject({ runId: RUN_ID, seriesId: 77n });
  const getFab = GetFabRequest.encode({ node, hashStr: run.appHash, runId: RUN_ID }).finish();
  expect(GetFabResponse.decode(await call('get-fab', getFab)).fab?.content).toEqual(Buffer.from('fab'));
  const tree = decodeObjectTree(
    messages.ObjectTree.encode(offer.messageObjectTrees[0] ?? expect.fail('no tree')).finish(),
  );
  for (const objectId of idsOf(tree)) {
    const request = messages.PullObjectRequest.encode({ node, runId: RUN_ID, objectId }).finish();
    const answer = messages.PullObjectResponse.decode(await call('pull-object', request));
    expect([answer.objectFound, answer.objectAvailable]).toEqual([true, true]);
    expect(sha256HexSync([answer.objectContent])).toBe(objectId);
  }
  const confirmation = { node, runId: RUN_ID, messageObjectId: metadata.messageId };
  await call('confirm-message-received', messages.ConfirmMessageReceivedRequest.encode(confirmation).finish());

  const chunk = makeObject('ArrayChunk', [], Buffer.alloc(3_000_000, 7));
  const metric = { key: 'num-examples', value: { kind: 'integer', value: 20n } } as const;
  const record = makeObject('MetricRecord', [], encodeMetricRecord([metric]));
  const dict = makeObject('RecordDict', [record.id], namesBody([['metrics', record.id]]));
  const head = {
    runId: RUN_ID,
    sourceNodeId: NODE_ID,
    destinationNodeId: 1n,
    replyTo: metadata.messageId,
    groupId: '',
    ttl: 500,
    type: 'train',
    createdAt: Date.now() / 1000,
  };
  const message = makeMessageObject(head, dict.id);
  const leaf = (id: string) => ({ id, children: [] });
  const replyTree = { id: message.id, children: [{ id: dict.id, children: [leaf(record.id)] }, leaf(chunk.id)] };
  const announcement = fleetMessages.PushMessagesRequest.encode({
    node,
    messagesList: [
      { metadata: toWireMetadata({ ...head, messageId: message.id }), content: { items: [] }, error: undefined },
    ],
    messageObjectTrees: [toWireTree(replyTree)],
    clientappRuntimeList: [1.5],
  }).finish();
  const wanted = fleetMessages.PushMessagesResponse.decode(await call('push-messages', announcement));
  expect(wanted.objectsToPush).toEqual([record.id, dict.id, chunk.id, message.id]);
  for (const { id, bytes } of [record, dict, chunk, message]) {
    const push = { node, runId: RUN_ID, objectId: id, objectContent: bytes, sessionId: wanted.sessionId };
    const stored = await call('push-object', messages.PushObjectRequest.encode(push).finish());
    expect(messages.PushObjectResponse.decode(stored)).toEqual({ stored: true });
  }
  if (old) await call('delete-node', fleetMessages.DeleteNodeRequest.encode({ node }).finish());
  else {
    await call('deactivate-node', fleetMessages.DeactivateNodeRequest.encode(node).finish());
    await call('unregister-node', fleetMessages.UnregisterNodeFleetRequest.encode(node).finish());
  }
}

describe('the life of a node', () => {
  for (const tls of [false, true]) {
    const where = tls ? 'over TLS' : 'in plain text';
    it(`works over HTTP ${where}, with its few connections told apart`, async () => {
      const to = await doors({ tls });
      to.fleet.offer(task.message);
      const client = httpClient(to);
      await liveAsNode((method, body) => client.call(method, body));
      expect(to.fleet.replies[0]?.runtimeSeconds).toBe(1.5);
      expect(to.fleet.replies[0]?.contents.size).toBe(4);
      expect(to.fleet.connections.size).toBe(1);
      expect(to.fleet.credentials[0]).toMatchObject({
        dialect: 'http',
        flwrVersion: '1.41.0',
        publicKeyPem: nodeKey.pem,
      });
    });

    it(`tells where a command and a refused call come from, ${where}`, async () => {
      const to = await doors({ tls });
      const [http, grpc] = [httpClient(to), grpcClient(to)];
      await http.send('/v1/control/list-nodes', Buffer.alloc(0));
      await grpc.unary('/flwr.proto.Control/ListNodes', Buffer.alloc(0));
      await grpc.unary('/flwr.proto.Exec/ListRuns', Buffer.alloc(0));
      expect(to.control.callers.map(({ peer }) => peer)).toEqual(['127.0.0.1', '127.0.0.1', '127.0.0.1']);
      await http.send('/v1/fleet/no-such-call', Buffer.alloc(0));
      await grpc.unary('/flwr.proto.Fleet/PushMessages', Buffer.from([0x0a, 0x20])).catch(() => {});
      expect(to.errors.map(({ where: { peer } }) => peer)).toEqual(['127.0.0.1', '127.0.0.1']);
    });

    it(`works over gRPC ${where}, also for releases before 1.23`, async () => {
      const to = await doors({ tls });
      const client = grpcClient(to);
      for (const old of [false, true]) {
        to.fleet.offer(task.message);
        await liveAsNode((method, body) => client.call(method, body), old);
      }
      expect(to.fleet.replies).toHaveLength(2);
      expect(to.fleet.connections.size).toBe(1);
      expect(to.fleet.credentials[0]).toMatchObject({
        dialect: 'grpc',
        flwrVersion: '1.39.0',
        publicKeyPem: nodeKey.pem,
      });
    });
  }

  it('works through the gRPC adapter, which tells the release in its container', async () => {
    const to = await doors();
    to.fleet.offer(task.message);
    const client = grpcClient(to, true);
    await liveAsNode((method, body) => client.call(method, body));
    expect(to.fleet.replies).toHaveLength(1);
  });
});

describe('a held pull', () => {
  for (const tls of [false, true]) {
    it(`over HTTP${tls ? ' and TLS' : ''} lets heartbeats through, is answered the moment there is a task, and ends with its socket`, async () => {
      const to = await doors({ tls, holdMs: 60_000 });
      const client = httpClient(to);
      const pulled = client.call('pull-messages', pull);
      await until(() => to.fleet.calls.includes('pullTask'));
      await client.call('send-node-heartbeat', beat);
      to.fleet.offer(task.message);
      expect(fleetMessages.PullMessagesResponse.decode(await pulled).messagesList).toHaveLength(1);

      const leaving = new AbortController();
      const left = client.send('/v1/fleet/pull-messages', pull, client.headers(), 'POST', leaving.signal);
      await until(() => to.fleet.calls.filter((call) => call === 'pullTask').length === 2);
      leaving.abort();
      await expect(left).rejects.toThrow();
      await until(() => to.fleet.abortedPulls === 1);
    });
  }

  it('over gRPC ends when the call is cancelled, and when the connection goes', async () => {
    const to = await doors({ holdMs: 60_000 });
    const client = grpcClient(to);
    const leaving = new AbortController();
    const cancelled = client.unary('/flwr.proto.Fleet/PullMessages', pull, client.metadata(), leaving.signal);
    await until(() => to.fleet.calls.length === 1);
    leaving.abort();
    await expect(cancelled).rejects.toMatchObject({ code: grpcStatus.CANCELLED });
    await until(() => to.fleet.abortedPulls === 1);
    const lost = client.call('pull-messages', pull).catch((error) => error);
    await until(() => to.fleet.calls.length === 2);
    await to.close();
    expect(await lost).toMatchObject({ name: 'Error' });
    await until(() => to.fleet.abortedPulls === 2);
  });
});

describe('the HTTP door', () => {
  it('answers errors with the status and body Flower reads', async () => {
    const to = await doors();
    const client = httpClient(to);
    to.fleet.failNext.set('pullTask', new AegisError('RUN_NOT_FOUND', '7'));
    const zombie = await client.send('/v1/fleet/pull-messages', pull);
    expect([zombie.status, zombie.headers['content-type']]).toEqual([503, 'application/json']);
    to.fleet.failNext.set('register', new AegisError('ENROLMENT_CLOSED'));
    const publicKey = nodeKey.pem;
    const registration = fleetMessages.RegisterNodeFleetRequest.encode({ publicKey }).finish();
    const closed = await client.send('/v1/fleet/register-node', registration);
    expect([closed.status, JSON.parse(closed.body.toString()).code]).toEqual([412, 2001]);
    const unsigned = await client.send('/v1/fleet/pull-messages', pull, { 'content-type': 'application/protobuf' });
    expect([unsigned.status, Object.keys(JSON.parse(unsigned.body.toString()))]).toEqual([401, ['detail']]);
    to.control.failNext.set('listRuns', new AegisError('OPERATOR_UNAUTHENTICATED'));
    const refused = await client.send('/v1/control/list-runs', Buffer.alloc(0));
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, 'Bearer']);
    expect(to.errors).toHaveLength(4);
  });

  it('refuses other media types, methods and paths, and leaves foreign paths alone', async () => {
    const to = await doors();
    const client = httpClient(to);
    const typed = async (type: string) =>
      (await client.send('/v1/fleet/pull-messages', pull, { ...client.headers(), 'content-type': type })).status;
    expect(await typed('application/json')).toBe(415);
    expect(await typed('')).toBe(415);
    expect(await typed('Application/Protobuf; charset=utf-8')).toBe(200);
    expect((await client.send('/v1/fleet/push-messages', pull, client.headers(), 'PUT')).status).toBe(404);
    expect((await client.send('/v1/fleet/nonsense', pull)).status).toBe(404);
    expect((await client.send('/v1/control/create-federation', pull)).status).toBe(501);
    expect((await client.send('/v1/control/get-login-details', Buffer.alloc(0))).status).toBe(200);
    expect((await client.send('/elsewhere', pull)).body).toHaveLength(0);
    expect((await client.send('/health', Buffer.alloc(0), {}, 'GET')).body.toString()).toBe('{"status":"ok"}');
  });

  it('refuses a body that is too large with an answer the client gets to read, announced or not', async () => {
    const to = await doors();
    const client = httpClient(to);
    const body = Buffer.alloc(limits.head + 1);
    const announced = await client.send('/v1/control/stop-run', body);
    expect(announced.status).toBe(413);
    const chunked = await client.send('/v1/control/stop-run', body, {
      ...client.headers(),
      'transfer-encoding': 'chunked',
    });
    expect(chunked.status).toBe(413);
    expect((await client.send('/v1/fleet/push-object', Buffer.alloc(limits.object + 2 * limits.head))).status).toBe(
      400,
    );
    expect((await client.send('/v1/control/list-runs', Buffer.alloc(0))).status).toBe(200);
  });

  it('does nothing for a body that is cut off, and goes on with others', async () => {
    const to = await doors();
    const { host, port } = to.port.address;
    const head = Object.entries(httpClient(to).headers()).map(([name, value]) => `${name}: ${value}\r\n`);
    const socket = connect(port, host);
    socket.write(`POST /v1/fleet/pull-messages HTTP/1.1\r\nhost: x\r\n${head.join('')}content-length: 50\r\n\r\nabc`);
    await until(() => to.port.connections() === 1);
    socket.end();
    await until(() => to.port.connections() === 0);
    expect(to.fleet.calls).toEqual([]);
    await httpClient(to).call('pull-messages', pull);
  });

  it('treats bytes beyond the announced length as another request, and refuses it', async () => {
    const to = await doors();
    const { host, port } = to.port.address;
    const socket = connect(port, host);
    let answer = '';
    socket.on('data', (piece) => {
      answer += piece.toString('latin1');
    });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write('POST /v1/control/list-runs HTTP/1.1\r\nhost: x\r\ncontent-type: application/protobuf\r\n');
    socket.write('content-length: 0\r\n\r\n\u0001\u0002 garbage\r\n\r\n');
    await closed;
    expect(answer).toContain('HTTP/1.1 400 Bad Request');
    expect(to.errors).toEqual([]);
  });

  it('streams logs as frames, reports an error before the first one as a status, and stops when the reader leaves', async () => {
    const to = await doors();
    const client = httpClient(to);
    to.control.logs = [
      { text: 'round 1\n', latest: 1 },
      { text: 'round 2\n', latest: 2 },
    ];
    const request = control.StreamLogsRequest.encode({ runId: RUN_ID, afterTimestamp: 0 }).finish();
    const reply = await client.send('/v1/control/stream-logs', request);
    expect(reply.headers['content-type']).toBe('application/flower-protobuf-stream');
    const first = reply.body.readUInt32BE(0);
    expect(control.StreamLogsResponse.decode(reply.body.subarray(4, 4 + first))).toEqual({
      logOutput: 'round 1\n',
      latestTimestamp: 1,
    });
    expect(reply.body.readUInt32BE(4 + first)).toBe(reply.body.length - first - 8);

    to.control.failNext.set('streamLogs', new AegisError('RUN_NOT_FOUND', '7'));
    const missing = await client.send('/v1/control/stream-logs', request);
    expect([missing.status, JSON.parse(missing.body.toString()).code]).toEqual([404, 16]);

    to.control.follow = true;
    to.control.endedStreams = 0;
    const leaving = new AbortController();
    const following = client.send('/v1/control/stream-logs', request, client.headers(), 'POST', leaving.signal);
    await until(() => to.control.callers.length === 3);
    leaving.abort();
    await expect(following).rejects.toThrow();
    await until(() => to.control.endedStreams === 1);
  });
});

describe('the gRPC door', () => {
  it('answers errors with status and details of the release that asks', async () => {
    const to = await doors();
    const client = grpcClient(to);
    const stop = control.StopRunRequest.encode({ runId: 7n }).finish();
    for (const [version, details] of [
      ['1.36.0', expect.stringMatching(/^\{"code":18,"public_message":"RUN_FINISHED/)],
      ['', expect.stringMatching(/^RUN_FINISHED: /)],
    ] as const) {
      to.control.failNext.set('stopRun', new AegisError('RUN_FINISHED'));
      await expect(client.unary('/flwr.proto.Control/StopRun', stop, client.metadata(version))).rejects.toMatchObject({
        code: grpcStatus.FAILED_PRECONDITION,
        details,
      });
    }
    to.fleet.failNext.set('pullTask', new AegisError('INTERNAL'));
    await expect(client.call('pull-messages', pull)).rejects.toMatchObject({ code: grpcStatus.UNAVAILABLE });
    to.fleet.failNext.set('pullTask', new AegisError('NODE_KEY_UNKNOWN'));
    await expect(client.call('pull-messages', pull)).rejects.toMatchObject({ code: grpcStatus.UNAUTHENTICATED });
    await expect(client.unary('/flwr.proto.Fleet/Nonsense', pull)).rejects.toMatchObject({
      code: grpcStatus.UNIMPLEMENTED,
    });
    await expect(client.unary('/flwr.proto.GrpcAdapter/SendReceive', pull)).rejects.toMatchObject({
      code: grpcStatus.UNIMPLEMENTED,
    });
  });

  it('serves the commands of 1.20 and 1.21 under their old name, logs included', async () => {
    const to = await doors();
    const client = grpcClient(to);
    to.control.logs = [{ text: 'hello', latest: 5 }];
    const started = control.StartRunRequest.encode({
      fab: { hashStr: 'h', content: Buffer.from('zip'), verifications: {} },
      overrideConfig: { lr: { scalar: { $case: 'double', value: 0.1 } } },
      overrideFederationConfig: undefined,
      appSpec: '',
      federation: '',
      seriesId: undefined,
      connectorRefs: [],
      userPrompt: '',
      connectorIds: [],
    }).finish();
    const answer = await client.unary('/flwr.proto.Exec/StartRun', started);
    expect(control.StartRunResponse.decode(answer).runId).toBe(2n ** 63n + 5n);
    expect(to.control.started[0]).toMatchObject({
      fab: Buffer.from('zip'),
      fabHash: 'h',
      overrides: [{ key: 'lr', value: { kind: 'real', value: 0.1 } }],
      seriesId: null,
    });
    const same = (bytes: Buffer): Buffer => bytes;
    const request = Buffer.from(control.StreamLogsRequest.encode({ runId: 1n, afterTimestamp: 0 }).finish());
    const lines: string[] = [];
    for await (const line of client.client.makeServerStreamRequest(
      '/flwr.proto.Exec/StreamLogs',
      same,
      same,
      request,
    )) {
      lines.push(control.StreamLogsResponse.decode(line).logOutput);
    }
    expect(lines).toEqual(['hello']);
  });
});

describe('one port', () => {
  it('tells plain HTTP/1.1 and HTTP/2 apart however slowly the first bytes come', async () => {
    const to = await doors();
    const { host, port } = to.port.address;
    const slowly = async (text: string, enough: (answer: Buffer) => boolean): Promise<Buffer> => {
      const socket = connect(port, host);
      let answer = Buffer.alloc(0);
      socket.on('data', (piece: Buffer) => {
        answer = Buffer.concat([answer, piece]);
      });
      for (const letter of text) {
        socket.write(letter, 'latin1');
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await until(() => enough(answer));
      socket.destroy();
      return answer;
    };
    const get = await slowly('GET /health HTTP/1.1\r\nhost: x\r\n\r\n', (answer) => answer.includes('ok'));
    expect(get.toString()).toContain('HTTP/1.1 200 OK');
    const put = await slowly('PUT /health HTTP/1.1\r\nhost: x\r\n\r\n', (answer) => answer.includes('ok'));
    expect(put.toString()).toContain('HTTP/1.1 200 OK');
    // An HTTP/2 server answers the preface with SETTINGS (frame type 4).
    const settings = await slowly(
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0',
      ({ length }) => length >= 9,
    );
    expect(settings[3]).toBe(4);
  });

  it('closes connections that say nothing or garbage', async () => {
    const to = await doors({ limits: { handshakeMs: 50 } });
    const { host, port } = to.port.address;
    const silent = connect(port, host);
    await new Promise((resolve) => silent.once('close', resolve));
    const garbage = connect(port, host);
    garbage.on('data', () => {});
    garbage.on('error', () => {});
    garbage.end(Buffer.alloc(4096, 0xff));
    await new Promise((resolve) => garbage.once('close', resolve));
    await until(() => to.port.connections() === 0);
  });

  it('speaks TLS 1.3 only, and tells of failed handshakes', async () => {
    const refused: string[] = [];
    const fleet = new ScriptedFleet({ nodeId: NODE_ID, run, fab: Buffer.alloc(0), read: task.read });
    const to = await startDoors({ fleet, tls: true, onRefused: (reason) => refused.push(reason) });
    open.push(to);
    const { host, port } = to.port.address;
    const old = tlsConnect({ host, port, ca: to.ca ?? '', maxVersion: 'TLSv1.2' });
    await new Promise((resolve) => old.once('error', resolve));
    const current = tlsConnect({ host, port, ca: to.ca ?? '', ALPNProtocols: ['h2'] });
    await new Promise((resolve) => current.once('secureConnect', resolve));
    expect([current.getProtocol(), current.alpnProtocol]).toEqual(['TLSv1.3', 'h2']);
    current.destroy();
    await until(() => refused.includes('handshake'));
  });

  it('has no more connections than its limits, and takes the oldest away for the newest', async () => {
    const to = await doors({ limits: { connectionsPerAddress: 1 } });
    const { host, port } = to.port.address;
    const first = connect(port, host);
    await until(() => to.port.connections() === 1);
    const client = httpClient(to);
    const ended = new Promise((resolve) => first.once('close', resolve));
    await client.call('pull-messages', pull);
    await ended;
    expect(to.port.connections()).toBe(1);
  });

  it('drains: calls under way end well, then everything is closed and nobody new gets in', async () => {
    const to = await doors({ holdMs: 60_000 });
    const http = httpClient(to);
    const grpc = grpcClient(to);
    const pulls = [http.call('pull-messages', pull), grpc.call('pull-messages', pull)];
    await until(() => to.fleet.calls.length === 2);
    const { host, port } = to.port.address;
    const drained = to.port.drain(30_000);
    to.fleet.offer(task.message);
    for (const answer of await Promise.all(pulls)) expect(answer).toBeInstanceOf(Buffer);
    await drained;
    expect(to.port.connections()).toBe(0);
    const late = connect(port, host);
    expect(await new Promise((resolve) => late.once('error', resolve))).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('drains no longer than it is given', async () => {
    const to = await doors({ holdMs: 60_000 });
    const held = httpClient(to).call('pull-messages', pull);
    const heldToo = grpcClient(to).call('pull-messages', pull);
    const ended = Promise.allSettled([held, heldToo]);
    await until(() => to.fleet.calls.length === 2);
    await to.port.drain(50);
    expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await until(() => to.fleet.abortedPulls === 2);
  });
});
