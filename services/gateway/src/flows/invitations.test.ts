import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { memoryGateway } from '../testing/memory-gateway.ts';
import { enrolRestNode } from './enrol-rest-node.ts';
import type { Gateway } from './gateway.ts';
import { inviteNode, listInvitations, takeInvitation, withdrawInvitation } from './invitations.ts';
import { RestKeys } from './rest-keys.ts';

const code = (wanted: string) => ({ code: wanted });
const ada = 'a'.repeat(64);

const closed = async () => {
  const { gateway, ...rest } = await memoryGateway();
  const settings = { ...gateway.settings, enrolment: 'registered' as const };
  const restKeys = new RestKeys(createSecretKey(Buffer.alloc(32, 7)));
  const shut: Gateway = { ...gateway, settings, restKeys };
  const { token } = await inviteNode(shut, { name: 'ada', seconds: 60 });
  return { gateway: shut, token, ...rest };
};
const register = (gateway: Gateway, invitation?: string, claim?: string) =>
  enrolRestNode(gateway, {}, { name: 'me', heartbeatSeconds: 30, invitation, claim });

describe('an invitation', () => {
  it('is kept without its token', async () => {
    const { gateway, token } = await closed();
    expect(JSON.stringify(await listInvitations(gateway))).not.toContain(token.slice(-20));
  });

  it('lets one holder in, as often as it asks, and nobody else', async () => {
    const { gateway, token, offered } = await closed();
    const first = await takeInvitation(gateway, token, ada);
    expect(first.name).toBe('ada');
    expect(await takeInvitation(gateway, token, ada)).toEqual(first);
    await expect(takeInvitation(gateway, token, 'e')).rejects.toMatchObject(code('INVITATION_REFUSED'));
    expect(offered).toEqual(['taken', 'again', 'used']);
  });

  it('refuses in the same words whatever is wrong with it, and counts apart', async () => {
    const { gateway, token, offered, clock } = await closed();
    const { token: late } = await inviteNode(gateway, { name: '', seconds: 60 });
    const { token: back, invitation } = await inviteNode(gateway, { name: '', seconds: 3_600 });
    await takeInvitation(gateway, token, ada);
    await withdrawInvitation(gateway, invitation.hash.slice(0, 12));
    await clock.advance(60_000);
    const wrong = `aegis-invite-${'x'.repeat(43)}`;
    const told: string[] = [];
    for (const one of [token, late, back, wrong, 'no token', '']) {
      const refused = await takeInvitation(gateway, one, 'eve').catch((error: Error) => error);
      told.push(`${refused}${JSON.stringify(refused)}`);
    }
    expect(new Set(told).size).toBe(1);
    expect(told[0]).toContain('INVITATION_REFUSED');
    expect(offered).toEqual(['taken', 'used', 'expired', 'revoked', 'unknown', 'unknown', 'unknown']);
  });

  it('is found by its id to be taken back, before it was used', async () => {
    const { gateway, token } = await closed();
    const [made] = await listInvitations(gateway);
    await takeInvitation(gateway, token, ada);
    await expect(withdrawInvitation(gateway, made?.hash ?? '')).rejects.toMatchObject(code('INVITATION_USED'));
    await expect(withdrawInvitation(gateway, 'f'.repeat(12))).rejects.toMatchObject(code('INVITATION_NOT_FOUND'));
  });
});

describe('a REST client under closed enrolment', () => {
  it('comes in with an invitation, with its name, and without one not', async () => {
    const { gateway, token } = await closed();
    await expect(register(gateway)).rejects.toMatchObject(code('ENROLMENT_CLOSED'));
    const { node } = await register(gateway, token);
    expect(node).toMatchObject({ name: 'ada', selfRegistered: false, activity: 'registered', dialect: 'rest' });
    await expect(register(gateway, token)).rejects.toMatchObject(code('INVITATION_REFUSED'));
  });

  it('that did not hear the answer asks again with its claim, and is the same node with the same secret', async () => {
    const { gateway, token } = await closed();
    const claim = 'c'.repeat(22);
    const first = await register(gateway, token, claim);
    const again = await register(gateway, token, claim);
    expect([again.node.nodeId, again.secret]).toEqual([first.node.nodeId, first.secret]);
    await expect(register(gateway, token, 'd'.repeat(22))).rejects.toMatchObject(code('INVITATION_REFUSED'));
  });

  it('goes on where the gateway died between using the invitation and writing the node', async () => {
    const { gateway, token } = await closed();
    const claim = 'c'.repeat(22);
    const dying: Gateway['nodes'] = Object.create(gateway.nodes, {
      register: { value: () => Promise.reject(new Error('killed')) },
    });
    await expect(register({ ...gateway, nodes: dying }, token, claim)).rejects.toThrow('killed');
    const [{ use } = { use: null }] = await listInvitations(gateway);
    const { node } = await register(gateway, token, claim);
    expect(node.nodeId).toBe(use?.nodeId);
    await expect(register(gateway, token, 'd'.repeat(22))).rejects.toMatchObject(code('INVITATION_REFUSED'));
  });

  it('that was removed is not let in again by its own invitation', async () => {
    const { gateway, token } = await closed();
    const claim = 'c'.repeat(22);
    const { node } = await register(gateway, token, claim);
    await gateway.nodes.change(node.nodeId, (latest) => ({ ...latest, activity: 'removed' }));
    await expect(register(gateway, token, claim)).rejects.toMatchObject(code('NODE_KEY_UNKNOWN'));
  });
});
