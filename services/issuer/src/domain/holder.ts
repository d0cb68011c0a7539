import { AegisError } from '@aegis/errors';

// A name and all that was ever certified for it. One name is one key, for good; revoked is for good too.

export interface Certified {
  /** Hex. */
  readonly serial: string;
  /** PEM: the node's certificate, and that of the issuer which signed it. */
  readonly chain: string;
  /** Unix milliseconds, like all times here. */
  readonly at: number;
  readonly notAfter: number;
  /** The invitation it was issued for; empty: it followed another. */
  readonly invitation: string;
}

export interface Holder {
  readonly name: string;
  /** SHA-256 of the public key's SPKI, hex. */
  readonly key: string;
  /** Oldest first; those that ended are forgotten when another follows. */
  readonly certificates: readonly Certified[];
  /** 0: it was not. */
  readonly revokedAt: number;
}

/** Until so much of a certificate's life is over, asking for the next is taken for an answer that was lost. */
const YOUNG = 1 / 3;

/**
 * The first certificate: `issue`, or the one that was issued before, to somebody who did not hear so. An invitation is worth one: when it
 * has ended, another follows only another invitation.
 */
export const decideIssue = (
  holder: Holder | null,
  { key, invitation }: { readonly key: string; readonly invitation: string },
  now: number,
): Certified | 'issue' => {
  if (holder === null) return 'issue';
  refuseRevoked(holder);
  if (holder.key !== key) throw new AegisError('ISSUER_NAME_TAKEN', `The name is ${holder.name}.`);
  const before = holder.certificates.find((one) => one.invitation === invitation);
  if (before === undefined) return 'issue';
  if (before.notAfter <= now) throw new AegisError('ISSUER_OVER');
  return before;
};

/** The next certificate of a key that has one. Young ones are answered again: nobody makes an issuer sign without end. */
export const decideRenewal = (holder: Holder | null, key: string, now: number): Certified | 'issue' => {
  if (holder === null) throw new AegisError('ISSUER_UNKNOWN');
  refuseRevoked(holder);
  if (holder.key !== key) throw new AegisError('ISSUER_NAME_TAKEN', `The name is ${holder.name}.`);
  const newest = holder.certificates.at(-1);
  if (newest === undefined || newest.notAfter <= now) throw new AegisError('ISSUER_OVER');
  return now < newest.at + (newest.notAfter - newest.at) * YOUNG ? newest : 'issue';
};

export const withCertificate = (
  holder: Holder | null,
  { name, key, certified }: { readonly name: string; readonly key: string; readonly certified: Certified },
): Holder => {
  // What an invitation was worth is remembered: it must not be worth another.
  const kept = (holder?.certificates ?? []).filter((one) => one.notAfter > certified.at || one.invitation !== '');
  return { name, key, revokedAt: 0, ...holder, certificates: [...kept, certified] };
};

export const revokeHolder = (holder: Holder, now: number): Holder =>
  holder.revokedAt > 0 ? holder : { ...holder, revokedAt: now };

/** What a list must name: certificates of revoked names that have not ended by themselves. */
export const revokedSerials = (holders: readonly Holder[], now: number): { serial: string; at: number }[] =>
  holders
    .filter(({ revokedAt }) => revokedAt > 0)
    .flatMap(({ certificates, revokedAt }) =>
      certificates.filter(({ notAfter }) => notAfter > now).map(({ serial }) => ({ serial, at: revokedAt })),
    );

const refuseRevoked = ({ revokedAt }: Holder): void => {
  if (revokedAt > 0) throw new AegisError('ISSUER_REVOKED');
};
