import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { isFederationName } from '@aegis/service-kit';
import {
  findInvitation,
  type Invitation,
  type InvitationUse,
  invitationId,
  invitationToken,
  isInvitationToken,
  judgeInvitation,
  makeInvitation,
  revokeInvitation,
} from '../domain/invitation.ts';
import type { Gateway } from './gateway.ts';

const TOKEN_BYTES = 32;

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');

/** The token is told this once. */
export const inviteNode = async (
  gateway: Gateway,
  { name, seconds }: { readonly name: string; readonly seconds: number },
): Promise<{ token: string; invitation: Invitation }> => {
  if (name !== '' && !isFederationName(name)) throw new AegisError('REQUEST_MALFORMED', 'name: it is none of a node.');
  const token = invitationToken(gateway.random.bytes(TOKEN_BYTES));
  const invitation = makeInvitation({ hash: hashOf(token), name, seconds }, gateway.clock.now());
  await gateway.invitations.add(invitation);
  gateway.log.info({ invitation: invitationId(invitation), name }, 'invitation made');
  return { token, invitation };
};

/** Newest first. */
export const listInvitations = async (gateway: Gateway): Promise<Invitation[]> =>
  (await gateway.invitations.list()).sort((a, b) => b.createdAt - a.createdAt);

export const withdrawInvitation = async (gateway: Gateway, id: string): Promise<Invitation> => {
  const { hash } = findInvitation(await gateway.invitations.list(), id);
  const now = gateway.clock.now();
  const revoked = await gateway.invitations.change(hash, (latest) => revokeInvitation(latest, now));
  if (revoked === null) throw new AegisError('INVITATION_NOT_FOUND', `No single one is "${id}".`);
  gateway.log.info({ invitation: invitationId(revoked) }, 'invitation revoked');
  return revoked;
};

/** What an invitation says of the node that it lets in. */
export type Invited = Pick<Invitation, 'name'> & Pick<InvitationUse, 'nodeId'> & { readonly id: string };

/**
 * Uses the invitation up for this holder, durably, before anything is written of the node: of two that race for it, at whichever
 * gateways, one is let in. `isNamed`: it must name the node. Why not is for the operator's counter: wrong, used, expired and revoked read the same to who asks.
 */
export const takeInvitation = async (
  gateway: Gateway,
  token: string,
  holder: string,
  { isNamed = false } = {},
): Promise<Invited> => {
  const { clock, random, invitations, observed, log } = gateway;
  const by = { holder, nodeId: random.uint64() };
  let verdict = judgeInvitation(null, by, clock.now());
  const judge = (latest: Invitation): Invitation => {
    verdict = judgeInvitation(latest, by, clock.now());
    // Only told to who could use it, and not at its cost.
    if (isNamed && 'invitation' in verdict && latest.name === '') throw new AegisError('INVITATION_NAMELESS');
    return 'invitation' in verdict ? verdict.invitation : latest;
  };
  if (isInvitationToken(token)) await invitations.change(hashOf(token), judge);
  observed.invitationOffered(verdict.outcome);
  if (!('invitation' in verdict)) throw new AegisError('INVITATION_REFUSED');
  const { invitation, use, outcome } = verdict;
  if (outcome === 'taken') log.info({ invitation: invitationId(invitation), node: use.nodeId }, 'invitation used');
  return { name: invitation.name, nodeId: use.nodeId, id: invitationId(invitation) };
};
