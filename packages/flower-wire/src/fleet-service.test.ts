import { GetFabRequest, GetFabResponse } from '@aegis/contracts/flwr/proto/fab';
import { PullMessagesResponse, PushMessagesResponse } from '@aegis/contracts/flwr/proto/fleet';
import { ObjectTree, PullObjectResponse, PushObjectRequest } from '@aegis/contracts/flwr/proto/message';
import { GetRunRequest, GetRunResponse } from '@aegis/contracts/flwr/proto/run';
import { rawField } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import type { FleetHandler, MessageOffer } from './fleet-contract.ts';
import { type CallHead, FleetService } from './fleet-service.ts';
import { limits } from './limits.ts';
import { fromWireMetadata } from './message.ts';
import { decodeObjectTree, encodeObjectTree } from './object-tree.ts';
import { readTranscript } from './recorded.ts';
import { fromWireScalar } from './records.ts';

const publicKey = Buffer.from('-----BEGIN PUBLIC KEY-----');
const head = (key: Buffer = publicKey): CallHead => ({
  dialect: 'http',
  connection: {},
  peer: '192.0.2.7',
  signal: new AbortController().signal,
  text: (name) => (name === 'flwr-timestamp' ? '2026-11-21T20:30:41+00:00' : ''),
  binary: (name) => (name === 'flwr-public-key' ? key : Buffer.from('signature')),
});

const serve = async (handler: Partial<FleetHandler>, method: string, body: Uint8Array, key?: Buffer): Promise<Buffer> =>
  Buffer.concat(await new FleetService(handler as FleetHandler).call(method, Buffer.from(body), head(key)));

const calls = ['fedavg.fleet', 'legacy.fleet', 'v122.fleet-grpc', 'tls.fleet'].flatMap(readTranscript);
const recorded = (method: string) =>
  calls.filter((call) => call.method === method && [200, 'OK'].includes(call.status));

describe('answers of a real server, given by our service', () => {
  it('pull-messages: byte for byte, also when there is nothing', async () => {
    for (const call of recorded('pull-messages')) {
      const { messagesList, messageObjectTrees, reconnect } = PullMessagesResponse.decode(call.response);
      const metadata = messagesList[0]?.metadata;
      const tree = messageObjectTrees[0];
      const offer: MessageOffer | null =
        metadata === undefined || tree === undefined
          ? null
          : {
              head: fromWireMetadata(metadata),
              tree: decodeObjectTree(ObjectTree.encode(tree).finish()),
            };
      const ours = await serve({ pullTask: async () => offer }, 'pull-messages', call.request);
      expect(PullMessagesResponse.decode(ours)).toEqual({
        ...PullMessagesResponse.decode(call.response),
        reconnect: undefined,
      });
      if (reconnect === undefined) expect(ours.equals(call.response)).toBe(true);
      // Content is there and empty, which decoding alone does not show.
      if (offer !== null) expect(ours.includes(Buffer.from([0x12, 0x00]))).toBe(true);
    }
  });

  it('push-messages: the same ids to push', async () => {
    for (const call of recorded('push-messages')) {
      const { objectsToPush, sessionId } = PushMessagesResponse.decode(call.response);
      const announce = async () => ({ wanted: objectsToPush, session: sessionId });
      const ours = await serve({ announce }, 'push-messages', call.request);
      expect(PushMessagesResponse.decode(ours)).toEqual(PushMessagesResponse.decode(call.response));
    }
  });

  it('pull-object and push-object: byte for byte', async () => {
    for (const call of recorded('pull-object')) {
      const { objectContent, objectFound, objectAvailable } = PullObjectResponse.decode(call.response);
      if (!objectFound || !objectAvailable) continue;
      const pieces = [objectContent.subarray(0, 5), objectContent.subarray(5)];
      const pullObject = async () => ({ state: 'found', pieces }) as const;
      const ours = await serve({ pullObject }, 'pull-object', call.request);
      expect(ours.equals(call.response)).toBe(true);
    }
    for (const call of recorded('push-object')) {
      const pushed: unknown[] = [];
      const pushObject: FleetHandler['pushObject'] = async (_c, nodeId, runId, objectId, content, session) => {
        pushed.push({ nodeId, runId, objectId, content: Buffer.from(content), session });
        return true;
      };
      const ours = await serve({ pushObject }, 'push-object', call.request);
      expect(ours.equals(call.response)).toBe(true);
      const { node, runId, objectId, objectContent, sessionId } = PushObjectRequest.decode(call.request);
      expect(pushed).toEqual([{ nodeId: node?.nodeId, runId, objectId, content: objectContent, session: sessionId }]);
    }
  });

  it('get-run: what a node uses of it', async () => {
    for (const call of recorded('get-run')) {
      const { run: theirs } = GetRunResponse.decode(call.response);
      if (theirs === undefined) expect.fail('no run');
      const answer = async () => ({
        runId: theirs.runId,
        seriesId: theirs.seriesId,
        appId: theirs.fabId,
        appVersion: theirs.fabVersion,
        appHash: theirs.fabHash,
        overrides: Object.entries(theirs.overrideConfig).map(([key, value]) => fromWireScalar(key, value)),
        status: theirs.status ?? { status: '', subStatus: '', details: '' },
        federation: theirs.federation,
      });
      const { run: ours } = GetRunResponse.decode(await serve({ run: answer }, 'get-run', call.request));
      const { runId, fabId, fabVersion, fabHash, overrideConfig, seriesId, federation } = theirs;
      expect(ours).toMatchObject({ runId, fabId, fabVersion, fabHash, overrideConfig, seriesId, federation });
      expect(GetRunRequest.decode(call.request).runId).toBe(runId);
    }
  });

  it('get-fab: byte for byte', async () => {
    for (const call of recorded('get-fab')) {
      const fab = GetFabResponse.decode(call.response).fab ?? expect.fail('no fab');
      const verifications = new Map(Object.entries(fab.verifications));
      const answer = async () => ({ hash: fab.hashStr, content: fab.content, verifications });
      expect((await serve({ fab: answer }, 'get-fab', call.request)).equals(call.response)).toBe(true);
    }
    const signed = async () => ({ hash: 'h', content: Buffer.alloc(300, 1), verifications: new Map([['k', 'v']]) });
    const request = GetFabRequest.encode({ node: { nodeId: 1n }, hashStr: 'h', runId: 1n }).finish();
    const { fab } = GetFabResponse.decode(await serve({ fab: signed }, 'get-fab', request));
    // Nodes look for the licence beside signatures.
    const verifications = { k: 'v', valid_license: 'none' };
    expect(fab).toEqual({ hashStr: 'h', content: Buffer.alloc(300, 1), verifications });
  });

  it('registration and the rest of a node life: byte for byte', async () => {
    const first = (call: { response: Buffer }): bigint => {
      const { head: rest } = rawField.split(call.response, 100);
      return rest.length === 0 ? 0n : idIn(rest);
    };
    for (const method of ['register-node', 'activate-node', 'create-node', 'send-node-heartbeat', 'deactivate-node']) {
      for (const call of recorded(method)) {
        const id = async () => first(call);
        const nothing = async () => {};
        const handler = {
          register: id,
          activate: id,
          createNode: id,
          heartbeat: async () => true,
          deactivate: nothing,
        };
        const key = method === 'register-node' || method === 'activate-node' ? keyIn(call.request) : publicKey;
        expect((await serve(handler, method, call.request, key)).equals(call.response), method).toBe(true);
      }
    }
  });
});

const keyIn = (request: Buffer): Buffer => rawField.split(request, 1).body;

/** The varint behind the first tag, also inside a Node message. */
function idIn(bytes: Buffer): bigint {
  let at = bytes[0] === 0x0a ? 3 : 1;
  let id = 0n;
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes[at++] ?? 0;
    id |= BigInt(byte & 127) << shift;
    if (byte < 128) return id;
  }
}

describe('requests that must be refused', () => {
  const code = (name: string) => expect.objectContaining({ code: name });
  const activation = (key: Buffer, seconds: number): Buffer => {
    const interval = Buffer.alloc(9, 0x11);
    interval.writeDoubleLE(seconds, 1);
    return Buffer.concat([rawField.join(Buffer.alloc(0), 1, key), interval]);
  };

  it('another key in the body than in the signature', async () => {
    const other = activation(Buffer.from('another key'), 30);
    await expect(serve({}, 'activate-node', other)).rejects.toThrow(code('NODE_IDENTITY'));
  });

  it('a heartbeat interval out of range', async () => {
    for (const seconds of [0, 9.9, 1801, -30, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(serve({}, 'activate-node', activation(publicKey, seconds))).rejects.toThrow(
        code('HEARTBEAT_INTERVAL'),
      );
    }
  });

  it('no node, no such method, an object id that is none, too much', async () => {
    await expect(serve({}, 'pull-messages', Buffer.alloc(0))).rejects.toThrow(code('REQUEST_MALFORMED'));
    for (const method of ['', 'constructor', '__proto__', 'toString', 'pullmessages']) {
      await expect(serve({}, method, Buffer.alloc(0))).rejects.toThrow(code('METHOD_UNKNOWN'));
    }
    const request = PushObjectRequest.encode({
      node: { nodeId: 1n },
      runId: 1n,
      objectId: '../x',
      objectContent: Buffer.from('x'),
      sessionId: '',
    }).finish();
    await expect(serve({}, 'push-object', request)).rejects.toThrow(code('REQUEST_MALFORMED'));
    const huge = rawField.join(request, 9, Buffer.alloc(limits.head + 1));
    await expect(serve({}, 'push-object', huge)).rejects.toThrow(code('BODY_TOO_LARGE'));
    await expect(serve({}, 'get-run', Buffer.alloc(limits.head + 1))).rejects.toThrow(code('BODY_TOO_LARGE'));
  });

  it('a tree that is not the tree of the announced message', async () => {
    const call = recorded('push-messages')[0] ?? expect.fail('none');
    const { head: rest } = rawField.split(call.request, 3);
    const tree = encodeObjectTree({ id: 'a'.repeat(64), children: [] });
    await expect(serve({}, 'push-messages', rawField.join(rest, 3, tree))).rejects.toThrow(code('REPLY_MALFORMED'));
  });
});
