import { describe, expect, it } from 'vitest';
import {
  type Certified,
  decideIssue,
  decideRenewal,
  type Holder,
  revokedSerials,
  revokeHolder,
  withCertificate,
} from './holder.ts';

const day = 86_400_000;
const t0 = 1_750_000_000_000;
const week = 7 * day;
const certifiedAt = (at: number, invitation = '', serial = `s${at - t0}`): Certified => ({
  ...{ serial, chain: `pem of ${serial}`, at, notAfter: at + week, invitation },
});
const ada = { name: 'ada', key: 'key of ada' };
const first = certifiedAt(t0, 'i1');
const holder = withCertificate(null, { ...ada, certified: first });
const revoked = revokeHolder(holder, t0 + day);
const code = (wanted: string) => expect.objectContaining({ code: wanted });
const request = { key: ada.key, invitation: 'i1' };

describe('a first certificate', () => {
  it('is issued to a name that has none', () => {
    expect(decideIssue(null, request, t0)).toBe('issue');
  });

  it('is the same again for the same key and invitation, as long as it is good', () => {
    expect(decideIssue(holder, request, t0)).toBe(first);
    expect(decideIssue(holder, request, t0 + week - 1)).toBe(first);
    const renewed = withCertificate(holder, { ...ada, certified: certifiedAt(t0 + 5 * day) });
    expect(decideIssue(renewed, request, t0 + 5 * day)).toBe(first);
  });

  it('is worth no other once it has ended, until there is another invitation', () => {
    expect(() => decideIssue(holder, request, t0 + week)).toThrow(code('ISSUER_OVER'));
    expect(decideIssue(holder, { ...request, invitation: 'i2' }, t0 + 2 * week)).toBe('issue');
    const again = withCertificate(holder, { ...ada, certified: certifiedAt(t0 + 2 * week, 'i2') });
    expect(() => decideIssue(again, request, t0 + 2 * week)).toThrow(code('ISSUER_OVER'));
    expect(again.certificates).toHaveLength(2);
  });

  it.each([
    ['another key', holder, { ...request, key: 'key of eve' }, t0, 'ISSUER_NAME_TAKEN'],
    ['another key and invitation', holder, { key: 'key of eve', invitation: 'i2' }, t0, 'ISSUER_NAME_TAKEN'],
    ['another key, long after', holder, { key: 'key of eve', invitation: 'i2' }, t0 + 9 * week, 'ISSUER_NAME_TAKEN'],
    ['a revoked name', revoked, request, t0, 'ISSUER_REVOKED'],
    ['a revoked name with another invitation', revoked, { ...request, invitation: 'i2' }, t0, 'ISSUER_REVOKED'],
    ['a revoked name, long after', revoked, { ...request, invitation: 'i2' }, t0 + 9 * week, 'ISSUER_REVOKED'],
  ] as const)('is not issued to %s', (_name, known, asked, now, wanted) => {
    expect(() => decideIssue(known, asked, now)).toThrow(code(wanted));
  });
});

describe('the next certificate', () => {
  it.each([
    ['young', t0 + 1, first],
    ['a third of it over, all but a moment', t0 + week / 3 - 1, first],
    ['a third of it over', t0 + week / 3, 'issue'],
    ['two thirds over', t0 + (2 * week) / 3, 'issue'],
    ['about to end', t0 + week - 1, 'issue'],
  ] as const)('of one that is %s', (_name, now, expected) => {
    expect(decideRenewal(holder, ada.key, now)).toBe(expected);
  });

  it('is counted from the newest there is', () => {
    const renewed = withCertificate(holder, { ...ada, certified: certifiedAt(t0 + 5 * day) });
    expect(decideRenewal(renewed, ada.key, t0 + 6 * day)).toMatchObject({ at: t0 + 5 * day });
    expect(decideRenewal(renewed, ada.key, t0 + 8 * day)).toBe('issue');
  });

  it.each([
    ['a name that never had one', null, ada.key, t0, 'ISSUER_UNKNOWN'],
    ['another key', holder, 'key of eve', t0 + 5 * day, 'ISSUER_NAME_TAKEN'],
    ['one that ended', holder, ada.key, t0 + week, 'ISSUER_OVER'],
    ['a revoked name', revoked, ada.key, t0 + 5 * day, 'ISSUER_REVOKED'],
    ['a revoked name and another key', revoked, 'key of eve', t0 + 5 * day, 'ISSUER_REVOKED'],
  ] as const)('is not issued to %s', (_name, known, key, now, wanted) => {
    expect(() => decideRenewal(known, key, now)).toThrow(code(wanted));
  });
});

describe('what is remembered of a name', () => {
  it('is every certificate that is still good, and what each invitation brought', () => {
    let one: Holder = holder;
    for (let at = t0 + 5 * day; at < t0 + 100 * day; at += 5 * day) {
      one = withCertificate(one, { ...ada, certified: certifiedAt(at) });
    }
    const newest = t0 + 95 * day;
    expect(one.certificates.map(({ at }) => (at - t0) / day)).toEqual([0, 90, 95]);
    expect(one.certificates.at(-1)?.at).toBe(newest);
  });

  it('keeps that it was revoked, and when first', () => {
    expect(revokeHolder(revoked, t0 + 3 * day)).toBe(revoked);
    expect(withCertificate(revoked, { ...ada, certified: certifiedAt(t0 + 2 * day) }).revokedAt).toBe(t0 + day);
  });

  it('makes a list of what was revoked and is not over by itself', () => {
    const two = revokeHolder(
      withCertificate(holder, { ...ada, certified: certifiedAt(t0 + 5 * day, '', 'second') }),
      t0 + 6 * day,
    );
    const good = withCertificate(null, { name: 'bob', key: 'b', certified: certifiedAt(t0, 'i3', 'bobs') });
    expect(revokedSerials([good, two], t0 + 6 * day)).toEqual([
      { serial: first.serial, at: t0 + 6 * day },
      { serial: 'second', at: t0 + 6 * day },
    ]);
    expect(revokedSerials([good, two], t0 + 8 * day).map(({ serial }) => serial)).toEqual(['second']);
    expect(revokedSerials([good, two], t0 + 13 * day)).toEqual([]);
    expect(revokedSerials([], t0)).toEqual([]);
  });
});
