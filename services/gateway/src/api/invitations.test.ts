import { createLogger, createTelemetry } from '@aegis/service-kit';
import { withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture, TOKEN } from '../testing/gateway-fixture.ts';
import { NativeNode } from '../testing/native-node.ts';
import { NodeKey } from '../testing/node-key.ts';
import { Operator } from '../testing/operator.ts';
import { RestClient } from '../testing/rest-client.ts';
import { ScriptedAggregator } from '../testing/scripted-aggregator.ts';

// Two gateways on one bus: whatever an invitation may do once, it may do once at both together.

const nats = withNats();
const telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
const lines: string[] = [];
const log = createLogger({ name: 'test', level: 'debug', destination: { write: (line) => void lines.push(line) } });
let fixture: GatewayFixture;
let gateways: Awaited<ReturnType<GatewayFixture['gateway']>>[];
let operator: Operator;
const nodes: NativeNode[] = [];
const given: string[] = [];

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator());
  const config = { enrolment: 'registered', rest: true };
  gateways = [await fixture.gateway({ config, telemetry, log }), await fixture.gateway({ config, log })];
  operator = new Operator(targetOf(0), TOKEN);
});
afterAll(async () => {
  operator.close();
  for (const node of nodes) node.close();
  await fixture.close();
});

const targetOf = (at: number) => {
  const gateway = gateways[at];
  if (!gateway) throw new Error(`no gateway ${at}`);
  return gateway.target;
};
const invite = async (name = '', seconds = 3_600): Promise<string> => {
  const { token } = await operator.call('inviteNode', { name, seconds });
  given.push(token);
  return token;
};
const nodeWith = (invitation: string, at = 0, key?: NodeKey): NativeNode => {
  const node = new NativeNode(targetOf(at), key, { invitation });
  nodes.push(node);
  return node;
};
const codeOf = async (node: NativeNode): Promise<string> => {
  const stream = node.open();
  stream.say(await node.hello(stream));
  return stream.code();
};
const register = (at: number, body: object) => new RestClient(targetOf(at)).plain('POST', '/api/v1/register', { body });
const recordOf = async (nodeId: bigint) =>
  (await operator.call('listNodes', {})).nodes.find((node) => node.nodeId === nodeId);

describe('an invitation', () => {
  it('lets a native client in, with the name that the operator gave, and its key from then on alone', async () => {
    const token = await invite('site-a');
    const key = new NodeKey('prime256v1');
    const { nodeId } = await nodeWith(token, 1, key).connect();
    expect(await recordOf(nodeId)).toMatchObject({ name: 'site-a', selfRegistered: false });
    expect((await nodeWith(token, 0, key).connect()).nodeId).toBe(nodeId);
    expect((await nodeWith('', 0, key).connect()).nodeId).toBe(nodeId);
    expect(await codeOf(nodeWith(token))).toBe('INVITATION_REFUSED');
    const { invitations } = await operator.call('listInvitations', {});
    expect(invitations).toContainEqual(expect.objectContaining({ name: 'site-a', state: 'used', nodeId }));
  });

  it('lets a REST client in, which then takes tasks', async () => {
    const client = new RestClient(targetOf(1));
    const nodeId = await client.register({ invitation: await invite('clinic') });
    expect(await recordOf(nodeId)).toMatchObject({ name: 'clinic', dialect: 'rest', selfRegistered: false });
    expect((await client.call('GET', '/api/v1/tasks')).json()).toEqual({ task: null });
  });

  it('is not asked of a node that was let in already, and not used up by it', async () => {
    const key = new NodeKey('prime256v1');
    const { nodeId } = await nodeWith(await invite(), 0, key).connect();
    const second = await invite('second');
    expect((await nodeWith(second, 0, key).connect()).nodeId).toBe(nodeId);
    const { nodeId: other } = await nodeWith(second).connect();
    expect(other).not.toBe(nodeId);
  });

  it.each([
    ['wrong', async () => `aegis-invite-${'x'.repeat(43)}`],
    ['no token at all', async () => 'let me in'],
    ['longer than any', async () => 'a'.repeat(4_000)],
    [
      'revoked',
      async () => {
        const { token, invitation } = await operator.call('inviteNode', { name: '', seconds: 60 });
        await operator.call('revokeInvitation', { id: invitation?.id ?? '' });
        return token;
      },
    ],
    [
      'used by another',
      async () => {
        const token = await invite();
        await nodeWith(token).connect();
        return token;
      },
    ],
  ])('that is %s lets nobody in', async (_name, tokenOf) => {
    expect(await codeOf(nodeWith(await tokenOf()))).toBe('INVITATION_REFUSED');
  });

  it('lets exactly one of many in that race at two gateways, over both doors', async () => {
    for (let round = 0; round < 5; round += 1) {
      const token = await invite();
      const outcomes = await Promise.all([
        ...[0, 1, 0, 1].map(async (at) => {
          const stream = nodeWith(token, at).open();
          const node = nodes.at(-1);
          if (!node) throw new Error('no node');
          stream.say(await node.hello(stream));
          return Promise.race([stream.next('welcome').then(() => 'in'), stream.code()]).catch(() => stream.code());
        }),
        ...[0, 1, 0, 1].map(async (at) => {
          const answer = (await register(at, { invitation: token })).json();
          return answer.code ?? 'in';
        }),
      ]);
      expect(outcomes.sort()).toEqual([...Array.from({ length: 7 }, () => 'INVITATION_REFUSED'), 'in']);
    }
  });

  it('gives a REST client that repeats its claim the same node and secret, at any gateway', async () => {
    const body = { invitation: await invite(), claim: 'my own words, thirty of them'.replaceAll(' ', '-') };
    const [first, second] = await Promise.all([register(0, body), register(1, body)]);
    expect(first?.json()).toEqual(second?.json());
    expect((await register(1, { ...body, claim: 'other-words-of-somebody-else' })).json().code).toBe(
      'INVITATION_REFUSED',
    );
    for (const claim of ['short', 'with a space in it, which is not allowed', 7]) {
      expect((await register(0, { ...body, claim })).status).toBe(400);
    }
  });

  it('reads the same whatever is wrong with it, and is nowhere in the log', async () => {
    const used = await invite();
    await register(0, { invitation: used });
    const answers = await Promise.all(
      [used, `aegis-invite-${'y'.repeat(43)}`, ''].map((invitation) => register(0, { invitation })),
    );
    expect(new Set(answers.map(({ status, bytes }) => `${status} ${bytes}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(401);
    const written = lines.join('\n');
    expect(written).toContain('invitation used');
    for (const token of given) expect(written).not.toContain(token.slice('aegis-invite-'.length));
    const metrics = await telemetry.renderMetrics();
    expect(metrics).toMatch(/aegis_gateway_invitations_total\{[^}]*outcome="unknown"[^}]*\} [1-9]/);
    expect(metrics).toMatch(/aegis_gateway_refusals_total\{[^}]*code="INVITATION_REFUSED"[^}]*\} [1-9]/);
  });

  it.each([
    ['made for a name that is none', 'inviteNode', { name: 'Site A\n', seconds: 60 }, 'REQUEST_MALFORMED'],
    ['made for too long', 'inviteNode', { name: '', seconds: 40 * 86_400 }, 'INVITATION_TIME'],
    ['taken back that nobody made', 'revokeInvitation', { id: 'f'.repeat(12) }, 'INVITATION_NOT_FOUND'],
    ['taken back by a piece of its id', 'revokeInvitation', { id: 'f' }, 'INVITATION_NOT_FOUND'],
  ] as const)('is not %s', async (_name, method, request, code) => {
    await expect(operator.call(method, request as never)).rejects.toMatchObject({ code });
  });
});
