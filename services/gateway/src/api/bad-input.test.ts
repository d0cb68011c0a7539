import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { makeMessageObject, makeObject, type ObjectTreeNode } from '@aegis/flower-wire';
import { eventually, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { announcementOf } from '../testing/fleet-messages.ts';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import type { Offer, Reply } from '../testing/messages.ts';
import { NodeKey } from '../testing/node-key.ts';
import { npyOf } from '../testing/npy.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import type { FlowerDialect, SimulatedNode } from '../testing/simulated-node.ts';
import { Refused, rawHttp } from '../testing/wire-client.ts';

// Every refusal of the table, as a client of each transport reads it. None may disturb the next honest call.

const nats = withNats();
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
const aggregator = new ScriptedAggregator();

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator);
  gateway = await fixture.gateway();
});
afterAll(() => fixture.close());

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const arrays = () =>
  new Map([
    ['w', npyOf([1, 2, fixture.next()])],
    ['b', npyOf([1])],
  ]);
const metrics = [{ key: 'num-examples', value: { kind: 'integer', value: 3n } }] as const;
const leaf = (id: string): ObjectTreeNode => ({ id, children: [] });

/** HTTP status, gRPC code. */
type Codes = readonly [http: number, grpc: number];
const INVALID: Codes = [400, 3];
const UNAUTHENTICATED: Codes = [401, 16];
const OVER: Codes = [403, 7];
const CONFLICT: Codes = [412, 9];
const UNAVAILABLE: Codes = [503, 14];

describe.each<FlowerDialect>(['A', 'B'])('dialect %s refuses', (dialect) => {
  const refused = async (call: Promise<unknown>, code: string, [http, grpc]: Codes): Promise<void> => {
    const error = await call.then(
      () => new Error('it was not refused'),
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(Refused);
    expect((error as Refused).body).toContain(`${code}:`);
    expect((error as Refused).status).toBe(dialect === 'A' ? http : grpc);
  };
  const started = async (): Promise<SimulatedNode> => {
    const node = fixture.node(gateway.target, dialect);
    await node.start();
    return node;
  };
  const offered = async (): Promise<{ node: SimulatedNode; offer: Offer; taskId: string }> => {
    const node = await started();
    const { taskId } = await fixture.task(node.nodeId);
    return { node, offer: await node.work(), taskId };
  };
  const honest = (node: SimulatedNode, offer: Offer) => node.reply(offer, { arrays: arrays(), metrics: [...metrics] });

  describe('a caller who is not who it says', () => {
    const minute = 60_000;
    const liars: [string, string, (node: SimulatedNode) => void][] = [
      [
        'a key nobody registered',
        'NODE_KEY_UNKNOWN',
        (node) => {
          const other = new NodeKey();
          node.sign = () => other.sign();
        },
      ],
      [
        'a stale timestamp',
        'NODE_TIMESTAMP',
        (node) => {
          node.sign = () => node.key.sign(Date.now() - 6 * minute);
        },
      ],
      [
        'a timestamp in the future',
        'NODE_TIMESTAMP',
        (node) => {
          node.sign = () => node.key.sign(Date.now() + minute);
        },
      ],
      [
        'a timestamp without a zone',
        'NODE_TIMESTAMP',
        (node) => {
          node.sign = () => ({ ...node.key.sign(), timestamp: '2026-11-21T20:30:41.932108' });
        },
      ],
      [
        "another key's signature",
        'NODE_SIGNATURE',
        (node) => {
          node.sign = () => ({ ...node.key.sign(), signature: new NodeKey().sign().signature });
        },
      ],
      [
        'a signature of another time',
        'NODE_SIGNATURE',
        (node) => {
          node.sign = () => ({ ...node.key.sign(), signature: node.key.sign(Date.now() - 1_000).signature });
        },
      ],
      [
        'garbage for a signature',
        'NODE_SIGNATURE',
        (node) => {
          node.sign = () => ({ ...node.key.sign(), signature: Buffer.from('garbage') });
        },
      ],
      [
        'garbage for a key',
        'NODE_UNAUTHENTICATED',
        (node) => {
          node.sign = () => ({ ...node.key.sign(), publicKeyPem: Buffer.from('not a key') });
        },
      ],
      [
        'no key',
        'NODE_UNAUTHENTICATED',
        (node) => {
          node.sign = () => {
            const { timestamp, signature } = node.key.sign();
            return { timestamp, signature };
          };
        },
      ],
      [
        'no signature',
        'NODE_UNAUTHENTICATED',
        (node) => {
          node.sign = () => {
            const { publicKeyPem, timestamp } = node.key.sign();
            return { publicKeyPem, timestamp };
          };
        },
      ],
    ];

    it.each(liars)('with %s (%s)', async (_name, code, lie) => {
      const node = await started();
      lie(node);
      await refused(node.heartbeat(), code, UNAUTHENTICATED);
      await refused(node.pull(), code, UNAUTHENTICATED);
    });

    it("with someone else's node id", async () => {
      const [node, victim] = [await started(), await started()];
      node.nodeId = victim.nodeId;
      await refused(node.pull(), 'NODE_IDENTITY', UNAUTHENTICATED);
      await refused(node.messages.deactivateNode(victim.nodeId), 'NODE_IDENTITY', UNAUTHENTICATED);
      await refused(node.messages.unregisterNode(victim.nodeId), 'NODE_IDENTITY', UNAUTHENTICATED);
      expect(await victim.heartbeat()).toBe(true);
    });

    it("that registers someone else's key", async () => {
      const node = fixture.node(gateway.target, dialect);
      const other = new NodeKey();
      await refused(node.messages.registerNode(other.publicKeyPem), 'NODE_IDENTITY', UNAUTHENTICATED);
      await refused(node.messages.activateNode(other.publicKeyPem, 30), 'NODE_IDENTITY', UNAUTHENTICATED);
    });
  });

  it('a heartbeat interval out of range', async () => {
    const node = await started();
    await refused(node.messages.activateNode(node.key.publicKeyPem, 5), 'HEARTBEAT_INTERVAL', INVALID);
    await refused(node.heartbeat(2_000), 'HEARTBEAT_INTERVAL', UNAVAILABLE);
  });

  it.each(['push-messages', 'push-object', 'pull-object', 'confirm-message-received'])(
    'a cut-off protobuf on %s',
    async (method) => {
      const node = await started();
      const cut = Buffer.from([0x0a, 0x20, 0x08, 0x01]);
      await refused(node.wire.call(method, cut, node.sign()), 'REQUEST_MALFORMED', INVALID);
    },
  );

  it('a cut-off protobuf on a pull, with what a stock node survives', async () => {
    const node = await started();
    for (const method of ['pull-messages', 'get-run', 'get-fab']) {
      await refused(node.wire.call(method, Buffer.from([0x0a, 0x20]), node.sign()), 'REQUEST_MALFORMED', UNAVAILABLE);
    }
  });

  it('an app or run nobody knows, as a run that is over', async () => {
    const node = await started();
    await refused(node.messages.run(node.nodeId, 404n), 'RUN_NOT_ACTIVE', OVER);
    await refused(node.messages.fab(node.nodeId, 77n, 'f'.repeat(64)), 'RUN_NOT_ACTIVE', OVER);
    await refused(node.messages.fab(node.nodeId, 77n, 'no hash'), 'RUN_NOT_ACTIVE', OVER);
  });

  it('an object that is not below a message of this node', async () => {
    const [mine, other] = [await offered(), await started()];
    expect(await other.messages.pullObject(other.nodeId, 77n, mine.offer.tree.id)).toBeNull();
    expect(await mine.node.messages.pullObject(mine.node.nodeId, 78n, mine.offer.tree.id)).toBeNull();
    expect(await mine.node.messages.pullObject(mine.node.nodeId, 77n, 'f'.repeat(64))).toBeNull();
  });

  describe('an announcement', () => {
    const changed: [string, string, Codes, (reply: Reply, node: SimulatedNode) => Reply][] = [
      ['for a message nobody sent', 'TASK_NOT_FOUND', OVER, (reply) => withHead(reply, { replyTo: 'a'.repeat(64) })],
      ['for another run than its task', 'REPLY_MALFORMED', INVALID, (reply) => withHead(reply, { runId: 5n })],
      ['of another type than its task', 'REPLY_MALFORMED', INVALID, (reply) => withHead(reply, { type: 'evaluate' })],
      ["in someone else's name", 'REPLY_MALFORMED', INVALID, (reply) => withHead(reply, { sourceNodeId: 5n })],
      ['for another node', 'REPLY_MALFORMED', INVALID, (reply) => withHead(reply, { destinationNodeId: 5n })],
      ['that answers nothing', 'REPLY_MALFORMED', INVALID, (reply) => withHead(reply, { replyTo: '' })],
      ['without a time to live', 'REPLY_MALFORMED', INVALID, (reply) => withHead(reply, { ttl: 0 })],
      [
        'with an object below itself',
        'OBJECT_TREE',
        INVALID,
        (reply) => withTree(reply, [{ id: reply.tree.id, children: [] }]),
      ],
      ['with ids that are no hashes', 'OBJECT_TREE', INVALID, (reply) => withTree(reply, [leaf('XYZ')])],
      [
        'with a tree of 300,000 nodes',
        'OBJECT_TREE',
        INVALID,
        (reply) =>
          withTree(
            reply,
            Array.from({ length: 300_000 }, () => leaf('b'.repeat(64))),
          ),
      ],
      [
        'with a tree 20 levels deep',
        'OBJECT_TREE',
        INVALID,
        (reply) => {
          let tree = leaf('0'.repeat(64));
          for (let level = 1; level < 20; level += 1)
            tree = { id: level.toString(16).padStart(64, '0'), children: [tree] };
          return withTree(reply, [tree]);
        },
      ],
    ];

    it.each(changed)('%s (%s)', async (_name, code, codes, change) => {
      const { node, offer } = await offered();
      const reply = change(honest(node, offer), node);
      await refused(node.messages.announce(node.nodeId, reply.head, reply.tree, 1), code, codes);
      expect(await node.push(honest(node, offer))).toBe(true);
    });

    it('with more bytes than any announcement needs', async () => {
      const { node, offer } = await offered();
      const { head, tree } = honest(node, offer);
      const body = Buffer.concat([announcementOf(node.nodeId, head, tree, 1), Buffer.alloc(30 * 2 ** 20)]);
      await refused(node.wire.call('push-messages', body, node.sign()), 'BODY_TOO_LARGE', INVALID);
    });

    it("in answer to someone else's task", async () => {
      const [mine, other] = [await offered(), await started()];
      const reply = other.reply(mine.offer, { arrays: arrays(), metrics: [...metrics] });
      await refused(other.push(reply), 'TASK_NOT_YOURS', INVALID);
    });

    it('in answer to a task that was answered', async () => {
      const { node, offer, taskId } = await offered();
      expect(await node.push(honest(node, offer))).toBe(true);
      aggregator.tasks.set(taskId, 'TASK_ANSWERED');
      await fixture.withdraw({ nodeId: node.nodeId, taskId });
      await refused(node.push(honest(node, offer)), 'TASK_ANSWERED', CONFLICT);
    });

    it('in answer to a task whose round has closed', async () => {
      const { node, offer, taskId } = await offered();
      aggregator.tasks.set(taskId, 'TASK_CLOSED');
      await refused(node.push(honest(node, offer)), 'TASK_CLOSED', OVER);
    });

    it('in answer to a run that has finished', async () => {
      const { node, offer, taskId } = await offered();
      aggregator.tasks.set(taskId, 'RUN_NOT_ACTIVE');
      await fixture.withdraw({ nodeId: node.nodeId, taskId });
      await refused(node.push(honest(node, offer)), 'RUN_NOT_ACTIVE', OVER);
    });
  });

  describe('a part', () => {
    const announced = async () => {
      const { node, offer } = await offered();
      const reply = honest(node, offer);
      const { wanted, session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
      return { node, offer, reply, wanted, session };
    };

    it('that was never announced', async () => {
      const { node, session } = await announced();
      const { id, bytes } = makeObject('ArrayChunk', [], Buffer.from('stranger'));
      await refused(node.messages.pushObject(node.nodeId, 77n, id, bytes, session), 'PART_NOT_ANNOUNCED', INVALID);
    });

    it('whose content has another hash, and takes the right one afterwards', async () => {
      const { node, reply, wanted, session } = await announced();
      const [id = ''] = wanted;
      const wrong = makeObject('ArrayChunk', [], Buffer.from('wrong')).bytes;
      await refused(node.messages.pushObject(node.nodeId, 77n, id, wrong, session), 'PART_HASH', INVALID);
      expect(aggregator.parts.has(id)).toBe(false);
      for (const part of wanted) expect(await node.pushPart(reply, part, session)).toBe(true);
    });

    it('of more than 64 MiB', async () => {
      const { node, wanted, session } = await announced();
      const huge = Buffer.alloc(65 * 2 ** 20);
      const push = node.messages.pushObject(node.nodeId, 77n, wanted[0] ?? '', huge, session);
      await refused(push, 'BODY_TOO_LARGE', INVALID);
    });

    const forged: [string, string, Buffer][] = [
      ['whose header lies about its length', 'OBJECT_MALFORMED', Buffer.from('ArrayChunk  999\0short')],
      ['of an unknown type', 'OBJECT_MALFORMED', Buffer.from('Trojan  5\0horse')],
      ['without a header', 'OBJECT_MALFORMED', Buffer.from('just bytes')],
      [
        'with children nobody announced',
        'OBJECT_TREE',
        makeObject('ArrayRecord', ['d'.repeat(64)], Buffer.from('{}')).bytes,
      ],
      ['with children that are no ids', 'OBJECT_MALFORMED', Buffer.from('Array nonsense 2\0{}')],
    ];

    it.each(forged)('%s (%s)', async (_name, code, bytes) => {
      const { node, offer } = await offered();
      const reply = withTree(honest(node, offer), [leaf(sha256(bytes))]);
      const { session } = await node.messages.announce(node.nodeId, reply.head, reply.tree, 1);
      const push = node.messages.pushObject(node.nodeId, 77n, sha256(bytes), bytes, session);
      await refused(push, code, INVALID);
    });
  });

  describe('a complete reply', () => {
    it('that is no answer, by stored=false, and lets the round go on', async () => {
      const { node, offer, taskId } = await offered();
      const reply = node.reply(offer, { metrics: [...metrics] });
      expect(await node.push(reply)).toBe(false);
      expect(aggregator.failed.at(-1)).toMatchObject({ taskId, reason: expect.stringContaining('REPLY_MALFORMED') });
      expect(await node.pull(AbortSignal.timeout(50)).catch(() => null)).toBeNull();
    });

    it('whose Message object differs from the announcement', async () => {
      const { node, offer, taskId } = await offered();
      const reply = honest(node, offer);
      const head = { ...reply.head, groupId: 'something else' };
      const { wanted, session } = await node.messages.announce(node.nodeId, head, reply.tree, 1);
      let stored = true;
      for (const id of wanted) stored = await node.pushPart(reply, id, session);
      expect(stored).toBe(false);
      expect(aggregator.failed.at(-1)).toMatchObject({ taskId });
    });

    it('with announced objects that belong to nothing', async () => {
      const { node, offer } = await offered();
      const reply = honest(node, offer);
      const stray = makeObject('ArrayChunk', [], Buffer.from(`stray ${fixture.next()}`));
      reply.objects.set(stray.id, stray.bytes);
      const tree = { ...reply.tree, children: [leaf(stray.id), ...reply.tree.children] };
      expect(await node.push({ ...reply, tree })).toBe(false);
    });

    it('of records made of records, layer upon layer', async () => {
      const { node, offer, taskId } = await offered();
      const objects = new Map<string, Buffer>();
      const add = (type: 'ArrayRecord' | 'RecordDict', children: string[], body: string): string => {
        const { id, bytes } = makeObject(type, children, Buffer.from(body));
        objects.set(id, bytes);
        return id;
      };
      let below: string[] = [];
      for (let depth = 0; depth < 5; depth += 1) {
        const children = below;
        below = Array.from({ length: 30 }, (_none, index) => add('ArrayRecord', children, `${depth} ${index}`));
      }
      const dict = add('RecordDict', below, '{}');
      const { head } = honest(node, offer);
      const { id, bytes } = makeMessageObject(head, dict);
      const reply = {
        head: { ...head, messageId: id },
        tree: { id, children: [...objects.keys()].map(leaf) },
        objects: objects.set(id, bytes),
      };
      expect(await node.push(reply)).toBe(false);
      expect(aggregator.failed.at(-1)).toMatchObject({ taskId, reason: expect.stringContaining('OBJECT_TREE') });
    });

    it.each([
      ['UPDATE_NOT_FINITE', 'stored=false', null],
      ['TASK_CLOSED', 'a run that is over', OVER],
      ['TASK_ANSWERED', 'a conflict', CONFLICT],
    ] as const)('that the aggregator refuses with %s, as %s', async (refusalCode, _as, codes) => {
      const { node, offer } = await offered();
      aggregator.verdict = { accepted: false, refusalCode, refusal: 'because' };
      try {
        if (codes) await refused(node.push(honest(node, offer)), refusalCode, codes);
        else expect(await node.push(honest(node, offer))).toBe(false);
      } finally {
        aggregator.verdict = { accepted: true, refusalCode: '', refusal: '' };
      }
    });
  });

  it('nothing of a node that says it failed', async () => {
    const { node, offer, taskId } = await offered();
    expect(await node.push(node.failure(offer, 2, 'CUDA out of memory'))).toBe(true);
    expect(aggregator.failed.at(-1)).toEqual({ taskId, code: 2, reason: 'CUDA out of memory' });
  });
});

describe('HTTP alone refuses', () => {
  const call = (headers: Record<string, string>, more: { path?: string; method?: string; body?: Buffer } = {}) =>
    rawHttp(gateway.target, undefined, { path: '/v1/fleet/pull-messages', body: Buffer.alloc(0), headers, ...more });

  it.each(['application/json', 'text/plain; charset=utf-8', ''])('the media type %j', async (type) => {
    const path = '/v1/fleet/push-object';
    await expect(call({ 'content-type': type }, { path })).rejects.toMatchObject({ status: 415 });
  });

  it('what is neither Flower nor ours', async () => {
    await expect(call({}, { path: '/v1/fleet/no-such-call' })).rejects.toMatchObject({ status: 404 });
    await expect(call({}, { path: '/', method: 'GET' })).rejects.toMatchObject({ status: 404 });
    await expect(call({}, { path: '/../etc/passwd', method: 'GET' })).rejects.toMatchObject({ status: 404 });
  });

  it('a body of more than the call can need, by its length alone', async () => {
    const headers = { 'content-type': 'application/protobuf', 'content-length': String(2 ** 40) };
    const path = '/v1/fleet/push-object';
    await expect(call(headers, { path })).rejects.toMatchObject({ status: expect.any(Number) });
  });

  it('a content-length that lies: the call ends with the connection, the gateway does not', async () => {
    const node = fixture.node(gateway.target);
    await node.start();
    const socket = connect(gateway.target.port, gateway.target.host);
    const signed = node.sign();
    socket.write(
      [
        'POST /v1/fleet/send-node-heartbeat HTTP/1.1',
        'host: x',
        'content-type: application/protobuf',
        `flwr-public-key: ${signed.publicKeyPem?.toString('base64')}`,
        'content-length: 1000',
        '',
        'only this',
      ].join('\r\n'),
    );
    socket.end();
    await new Promise((resolve) => socket.once('close', resolve).resume());
    expect(await node.heartbeat()).toBe(true);
  });
});

describe('after all of that', () => {
  it('counts every refusal by code and door', async () => {
    const other = await fixture.gateway({
      telemetry: (await import('@aegis/service-kit')).createTelemetry({ service: 't', version: '0', env: {} }),
    });
    const node = fixture.node(other.target);
    await node.start();
    node.sign = () => node.key.sign(0);
    await expect(node.heartbeat()).rejects.toThrow();
    const text = await eventually(async () => {
      const page = await rawHttp(other.target, undefined, { path: '/metrics', method: 'GET' });
      return page.toString();
    });
    expect(text).toMatch(/aegis_gateway_refusals_total\{[^}]*code="NODE_TIMESTAMP"[^}]*door="http"[^}]*\} 1/);
    expect(text).toMatch(/aegis_gateway_nodes_online(\{[^}]*\})? [1-9]/);
  });
});

function withHead(reply: Reply, changes: Partial<Reply['head']>): Reply {
  const head = { ...reply.head, ...changes };
  const [dict] = reply.tree.children;
  const { id, bytes } = makeMessageObject(head, dict?.id ?? null);
  return {
    head: { ...head, messageId: id },
    tree: { id, children: reply.tree.children },
    objects: new Map(reply.objects).set(id, bytes),
  };
}

function withTree(reply: Reply, children: ObjectTreeNode[]): Reply {
  return { ...reply, tree: { ...reply.tree, children } };
}
