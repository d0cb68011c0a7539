import { describe, expect, it } from 'vitest';
import {
  findInvitation,
  type Invitation,
  invitationId,
  invitationState,
  invitationToken,
  isInvitationToken,
  judgeInvitation,
  makeInvitation,
  revokeInvitation,
} from './invitation.ts';

const now = 1_750_000_000_000;
const hour = 3_600_000;
const hash = 'ab12'.repeat(16);
const made = makeInvitation({ hash, name: 'ada', seconds: 3_600 }, now);
const ada = { holder: 'key of ada', nodeId: 7n };
const eve = { holder: 'key of eve', nodeId: 8n };
const usedBy = (by: typeof ada, at = now): Invitation => {
  const verdict = judgeInvitation(made, by, at);
  if (!('invitation' in verdict)) throw new Error(verdict.outcome);
  return verdict.invitation;
};
const used = usedBy(ada);
const revoked = revokeInvitation(made, now + 1);
const code = (wanted: string) => expect.objectContaining({ code: wanted });

describe('a token', () => {
  it('is all of the random bytes it is made of', () => {
    const token = invitationToken(Buffer.alloc(32, 0xff));
    expect(token).toBe(`aegis-invite-${'_'.repeat(42)}8`);
    expect(isInvitationToken(token)).toBe(true);
  });

  it.each(['', 'aegis-invite-', `aegis-invite-${'a'.repeat(42)}`, `aegis-invite-${'a'.repeat(44)}`, 'a'.repeat(56)])(
    'is not %j',
    (text) => expect(isInvitationToken(text)).toBe(false),
  );

  it.each([' ', '\n', '+', '/', '='])('has no %j in it', (character) => {
    expect(isInvitationToken(`aegis-invite-${character}${'a'.repeat(42)}`)).toBe(false);
  });
});

describe('an invitation', () => {
  it('is open until its time is over', () => {
    expect(invitationState(made, now)).toBe('open');
    expect(invitationState(made, now + hour - 1)).toBe('open');
    expect(invitationState(made, now + hour)).toBe('expired');
  });

  it.each([59, 0, -1, 30 * 86_400 + 1, Number.NaN])('is not made for %d seconds', (seconds) => {
    expect(() => makeInvitation({ hash, name: '', seconds }, now)).toThrow(code('INVITATION_TIME'));
  });

  it.each([60, 30 * 86_400])('is made for %d seconds', (seconds) => {
    expect(makeInvitation({ hash, name: '', seconds }, now).expiresAt).toBe(now + seconds * 1000);
  });

  it('lets in whoever comes first, as the node that was chosen then', () => {
    const verdict = judgeInvitation(made, ada, now + 5);
    expect(verdict).toMatchObject({ outcome: 'taken', use: { holder: ada.holder, nodeId: 7n, at: now + 5 } });
    expect(invitationState(used, now)).toBe('used');
  });

  it('knows again who used it, as the same node, also when its time is over', () => {
    const again = judgeInvitation(used, { holder: ada.holder, nodeId: 99n }, now + 2 * hour);
    expect(again).toMatchObject({ outcome: 'again', use: { nodeId: 7n, at: now } });
    expect(again).toHaveProperty('invitation', used);
  });

  it.each([
    ['nobody made', null, now, 'unknown'],
    ['another used', used, now, 'used'],
    ['another used, long ago', used, now + 2 * hour, 'used'],
    ['was revoked', revoked, now + 2, 'revoked'],
    ['was revoked, and would be over', revoked, now + 2 * hour, 'revoked'],
    ['is over', made, now + hour, 'expired'],
  ] as const)('lets nobody in that %s', (_name, invitation, at, outcome) => {
    expect(judgeInvitation(invitation, eve, at)).toEqual({ outcome });
  });

  it('is taken back once, for good, and not any more when it was used', () => {
    expect(invitationState(revoked, now)).toBe('revoked');
    expect(revokeInvitation(revoked, now + 9)).toBe(revoked);
    expect(judgeInvitation(revoked, ada, now)).toEqual({ outcome: 'revoked' });
    expect(() => revokeInvitation(used, now)).toThrow(code('INVITATION_USED'));
    expect(revokeInvitation(made, now + 2 * hour).revokedAt).toBe(now + 2 * hour);
  });

  it('is found by the beginning of its hash, when that is long enough and nobody else begins so', () => {
    const other = { ...made, hash: `${hash.slice(0, 10)}${'0'.repeat(54)}` };
    expect(findInvitation([made, other], invitationId(made))).toBe(made);
    expect(findInvitation([made], hash)).toBe(made);
    for (const id of ['', hash.slice(0, 7), hash.slice(0, 10), 'c'.repeat(12)]) {
      expect(() => findInvitation([made, other], id)).toThrow(code('INVITATION_NOT_FOUND'));
    }
  });
});
