import { RegisterNodeFleetRequest } from '@aegis/contracts/flwr/proto/fleet';
import { withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FleetMessages } from '../testing/fleet-messages.ts';
import { GatewayFixture } from '../testing/gateway-fixture.ts';
import { NodeKey } from '../testing/node-key.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';
import type { FlowerDialect, SimulatedNode } from '../testing/simulated-node.ts';
import { rawHttp, type Target } from '../testing/wire-client.ts';

const nats = withNats();
let fixture: GatewayFixture;
let bound: Target;
let perCall: Target;

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator(), { tls: true });
  bound = (await fixture.gateway({ config: { signatures: 'per-connection' } })).target;
  perCall = (await fixture.gateway()).target;
});
afterAll(() => fixture.close());

const forged = (node: SimulatedNode) => ({ ...node.key.sign(), signature: Buffer.from('forged') });
/** 401 or UNAUTHENTICATED, with these words for people. */
const refused = (dialect: FlowerDialect, words: RegExp) => ({
  status: dialect === 'A' ? 401 : 16,
  body: expect.stringMatching(words),
});

describe.each<FlowerDialect>(['A', 'B'])('signatures once per connection, dialect %s', (dialect) => {
  it('looks at the signature of the first call on a connection, and at no other', async () => {
    const node = fixture.node(bound, dialect);
    node.sign = () => forged(node);
    await expect(node.start()).rejects.toMatchObject(refused(dialect, /NODE_SIGNATURE/));
    node.sign = () => node.key.sign();
    await node.start();
    node.sign = () => forged(node);
    expect(await node.heartbeat()).toBe(true);
  });

  it('asks every connection anew: what another one proved says nothing about this one', async () => {
    const node = fixture.node(bound, dialect);
    const nodeId = await node.start();
    const thief = fixture.node(bound, dialect, node.key);
    thief.nodeId = nodeId;
    thief.sign = () => forged(node);
    await expect(thief.heartbeat()).rejects.toMatchObject(refused(dialect, /NODE_SIGNATURE/));
  });

  it('refuses another key on a bound connection, however genuine, and says what to do behind a proxy', async () => {
    const node = fixture.node(bound, dialect);
    await node.start();
    const other = new NodeKey();
    node.sign = () => other.sign();
    await expect(node.heartbeat()).rejects.toMatchObject(refused(dialect, /NODE_CONNECTION.*signatures: per-call/));
    node.sign = () => node.key.sign();
    expect(await node.heartbeat()).toBe(true);
  });

  it('still judges the clock, the node id and the removal on every call', async () => {
    const node = fixture.node(bound, dialect);
    const nodeId = await node.start();
    node.sign = () => node.key.sign(Date.now() - 400_000);
    await expect(node.heartbeat()).rejects.toMatchObject(refused(dialect, /NODE_TIMESTAMP/));
    node.sign = () => forged(node);
    await expect(node.messages.heartbeat(nodeId + 1n, 30)).rejects.toMatchObject(refused(dialect, /NODE_IDENTITY/));
    await node.stop();
    await expect(node.heartbeat()).rejects.toMatchObject(refused(dialect, /NODE_KEY_UNKNOWN/));
  });
});

describe('signatures on every call, the default', () => {
  it.each<FlowerDialect>(['A', 'B'])('refuses a forged one after a genuine one, dialect %s', async (dialect) => {
    const node = fixture.node(perCall, dialect);
    await node.start();
    node.sign = () => forged(node);
    await expect(node.heartbeat()).rejects.toMatchObject(refused(dialect, /NODE_SIGNATURE/));
  });

  it('lets several keys share a connection, as behind a proxy', async () => {
    const [first, second] = [fixture.node(perCall), fixture.node(perCall)];
    await first.start();
    await second.start();
    const sharing = new FleetMessages((method, body) => first.wire.call(method, body, second.key.sign()));
    expect(await sharing.heartbeat(second.nodeId, 30)).toBe(true);
    expect(await first.heartbeat()).toBe(true);
  });
});

describe('a call that a proxy passed on', () => {
  const through = (target: Target, header: string): Promise<Buffer> => {
    const key = new NodeKey();
    const { publicKeyPem, timestamp, signature } = key.sign();
    return rawHttp(target, undefined, {
      path: '/v1/fleet/register-node',
      body: RegisterNodeFleetRequest.encode({ publicKey: publicKeyPem }).finish(),
      headers: {
        'content-type': 'application/protobuf',
        'flwr-public-key': publicKeyPem.toString('base64'),
        'flwr-timestamp': timestamp,
        'flwr-signature': signature.toString('base64'),
        [header]: '192.0.2.7',
      },
    });
  };

  it.each(['x-forwarded-for', 'forwarded', 'via'])('binds no connection when %s says so', async (header) => {
    await expect(through(bound, header)).rejects.toMatchObject(refused('A', /NODE_CONNECTION.*proxy/));
    await expect(through(perCall, header)).resolves.toBeInstanceOf(Buffer);
  });
});
