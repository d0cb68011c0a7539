import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { certifyGuard, isFederationName, readSigningRequest } from '@aegis/service-kit';
import { type Certified, decideIssue, decideRenewal, type Holder, withCertificate } from '../domain/holder.ts';
import type { Ground } from './ground.ts';

/** An authority that ends so soon issues nothing: its certificates would be renewed without end. */
const LEAST_SECONDS = 60;

export interface Request {
  readonly name: string;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
}

/** The first certificate of a name, as a chain: its own, and the authority's. */
export const issueFirst = (ground: Ground, request: Request & { readonly invitation: string }): Promise<string> =>
  certifyKey(ground, request, 'first', (holder, key, now) =>
    decideIssue(holder, { key, invitation: request.invitation }, now),
  );

export const renew = (ground: Ground, request: Request): Promise<string> =>
  certifyKey(ground, { ...request, invitation: '' }, 'next', decideRenewal);

/**
 * Signs, writes down, answers, in this order: a certificate that nobody was told of is worth nothing, and one that somebody was told of can
 * be revoked.
 */
const certifyKey = async (
  { authority, notAfter, lifeSeconds, register, turns, clock, log, counted }: Ground,
  { name, csr, invitation }: Request & { readonly invitation: string },
  what: 'first' | 'next',
  decide: (holder: Holder | null, key: string, now: number) => Certified | 'issue',
): Promise<string> => {
  if (!isFederationName(name)) throw new AegisError('INVITATION_NAMELESS');
  const spki = await readSigningRequest(csr);
  const key = createHash('sha256').update(spki).digest('hex');
  return turns.take(async () => {
    const now = clock.now();
    const holder = register.of(name);
    const decided = decide(holder, key, now);
    if (decided !== 'issue') {
      counted.issued('again');
      return decided.chain;
    }
    if (notAfter - now < LEAST_SECONDS * 1000) throw new AegisError('ISSUER_EXPIRED');
    const made = await certifyGuard(authority, { name, spki, seconds: lifeSeconds }, now);
    const chain = `${made.certPem}${authority.certPem}`;
    const certified = { serial: made.serial, chain, at: now, notAfter: made.notAfter, invitation };
    register.write(withCertificate(holder, { name, key, certified }));
    counted.issued(what);
    log.info({ name, serial: made.serial, until: new Date(made.notAfter).toISOString(), what }, 'certificate issued');
    return chain;
  });
};
