import { AegisError } from '@aegis/errors';

// One-time invitations: an operator makes one, whoever has its token may become one node.
// made → used, revoked or expired; none of the three is ever left again.

export interface Invitation {
  /** SHA-256 of the token, hex: what it is found by. The token itself is kept nowhere. */
  readonly hash: string;
  /** Of the node, for people; empty: the node says its own. */
  readonly name: string;
  /** Unix milliseconds, like all times here. */
  readonly createdAt: number;
  /** First moment at which it is good no more. */
  readonly expiresAt: number;
  /** 0: it was not. */
  readonly revokedAt: number;
  readonly use: InvitationUse | null;
}

export interface InvitationUse {
  readonly at: number;
  /** What only the one who used it can show again: the fingerprint of a key, or of a claim. */
  readonly holder: string;
  /** The node it made, chosen before anything is written of that node: whatever ends in between, asking again makes the same one. */
  readonly nodeId: bigint;
}

export type InvitationState = 'open' | 'used' | 'expired' | 'revoked';

/** Why a token lets nobody in. For the operator's counter alone: whoever offers one learns only that it did not. */
export type InvitationRefusal = 'unknown' | 'used' | 'expired' | 'revoked';

export type InvitationVerdict =
  | { readonly outcome: 'taken' | 'again'; readonly invitation: Invitation; readonly use: InvitationUse }
  | { readonly outcome: InvitationRefusal };

export const INVITATION_SECONDS = { min: 60, max: 30 * 86_400 } as const;
const TOKEN = /^aegis-invite-[A-Za-z0-9_-]{43}$/;
const SHORTEST_ID = 8;
const ID = 12;

/** Of 32 random bytes: nobody guesses one, so that a plain hash of it may be stored, and needs neither salt nor slowness. */
export const invitationToken = (random: Buffer): string => `aegis-invite-${random.toString('base64url')}`;
export const isInvitationToken = (text: string): boolean => TOKEN.test(text);

/** For people; says nothing of the token. */
export const invitationId = ({ hash }: Pick<Invitation, 'hash'>): string => hash.slice(0, ID);

export const makeInvitation = (
  { hash, name, seconds }: { readonly hash: string; readonly name: string; readonly seconds: number },
  now: number,
): Invitation => {
  if (!(seconds >= INVITATION_SECONDS.min && seconds <= INVITATION_SECONDS.max)) {
    throw new AegisError('INVITATION_TIME', `Got ${seconds} seconds.`);
  }
  return { hash, name, createdAt: now, expiresAt: now + seconds * 1000, revokedAt: 0, use: null };
};

export const invitationState = ({ use, revokedAt, expiresAt }: Invitation, now: number): InvitationState => {
  if (use !== null) return 'used';
  if (revokedAt > 0) return 'revoked';
  return now >= expiresAt ? 'expired' : 'open';
};

/** May `by` become the node of this invitation? `null`: nobody made one of that token. Who used it asks again and is the same node. */
export const judgeInvitation = (
  invitation: Invitation | null,
  by: Pick<InvitationUse, 'holder' | 'nodeId'>,
  now: number,
): InvitationVerdict => {
  if (invitation === null) return { outcome: 'unknown' };
  const { use } = invitation;
  if (use !== null) return use.holder === by.holder ? { outcome: 'again', invitation, use } : { outcome: 'used' };
  const state = invitationState(invitation, now);
  if (state !== 'open') return { outcome: state };
  const taken = { holder: by.holder, nodeId: by.nodeId, at: now };
  return { outcome: 'taken', invitation: { ...invitation, use: taken }, use: taken };
};

/** Of what was used already there is nothing to take back but the node. Revoking again changes nothing. */
export const revokeInvitation = (invitation: Invitation, now: number): Invitation => {
  if (invitation.use !== null) {
    throw new AegisError('INVITATION_USED', `It made node ${invitation.use.nodeId}.`);
  }
  return invitation.revokedAt > 0 ? invitation : { ...invitation, revokedAt: now };
};

/** The one whose hash begins so. */
export const findInvitation = (all: readonly Invitation[], id: string): Invitation => {
  const found = id.length < SHORTEST_ID ? [] : all.filter(({ hash }) => hash.startsWith(id));
  const [first] = found;
  if (first === undefined || found.length > 1)
    throw new AegisError('INVITATION_NOT_FOUND', `No single one is "${id}".`);
  return first;
};
