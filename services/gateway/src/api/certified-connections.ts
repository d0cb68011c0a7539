import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import type { AegisError } from '@aegis/errors';
import { type Revocations, readRoots } from '@aegis/service-kit';
import { certificateError } from '../domain/client-certificate.ts';

/** Whom the port trusts now. */
export interface Trust {
  readonly authorities: readonly X509Certificate[];
  /** Between them and nodes, where we know of them ourselves. */
  readonly issuers: readonly X509Certificate[];
  readonly revocations: Revocations | null;
}

export const trustOf = (ca: Buffer, issuers: string, revocations: Revocations | null): Trust => ({
  authorities: readRoots(ca.toString()),
  issuers: readRoots(issuers),
  revocations,
});

/** Longer than any chain of ours. */
const LONGEST_CHAIN = 8;

/**
 * Connections that TLS let in by their certificate. It judges once, when a connection begins; what it would say later is asked here:
 * a node that was revoked, or whose certificate has ended, must not work on because it never hung up.
 */
export class CertifiedConnections {
  readonly #live = new Map<TLSSocket, readonly X509Certificate[]>();

  get size(): number {
    return this.#live.size;
  }

  add(socket: TLSSocket): void {
    if (socket.destroyed) return;
    this.#live.set(socket, chainOf(socket));
    socket.once('close', () => this.#live.delete(socket));
  }

  /** Ends those that would not be let in now, and says why, one by one. */
  endThoseNotIn(trust: Trust, now: number, ended: (error: AegisError, address: string) => void): void {
    for (const [socket, chain] of this.#live) {
      const finding = findingOf(chain, trust, now);
      if (finding === null) continue;
      const address = socket.remoteAddress ?? '';
      this.#live.delete(socket);
      socket.destroy();
      ended(certificateError(finding), address);
    }
  }
}

/** OpenSSL's name for what is wrong with the chain; null: nothing. */
const findingOf = (shown: readonly X509Certificate[], { authorities, issuers, revocations }: Trust, now: number) => {
  const chain = withIssuer(shown, issuers);
  if (chain.some(({ validToDate }) => now > validToDate.getTime())) return 'CERT_HAS_EXPIRED';
  if (revocations !== null && chain.some(({ raw }) => revocations.has(new Uint8Array(raw)))) return 'CERT_REVOKED';
  return chain.some((one) => authorities.some((by) => isIssuedBy(one, by))) ? null : 'UNABLE_TO_VERIFY_LEAF_SIGNATURE';
};

const isIssuedBy = (certificate: X509Certificate, by: X509Certificate): boolean =>
  certificate.checkIssued(by) && certificate.verify(by.publicKey);

/**
 * Releases 24.21 and 26.8 of Node show a server the leaf of its client and nothing above (nodejs/node#65579): what stands between it and
 * the authorities is looked up among those that we know.
 */
const withIssuer = (shown: readonly X509Certificate[], issuers: readonly X509Certificate[]): X509Certificate[] => {
  const last = shown.at(-1);
  const issuer = last && issuers.find((by) => isIssuedBy(last, by));
  return issuer ? [...shown, issuer] : [...shown];
};

/** The leaf first, and whoever stands between it and an authority. The authority itself is not part of what the caller has to prove. */
const chainOf = (socket: TLSSocket): X509Certificate[] => {
  const chain: X509Certificate[] = [];
  let at: DetailedPeerCertificate | null = socket.getPeerCertificate(true);
  while (at?.raw !== undefined && chain.length < LONGEST_CHAIN) {
    const certificate = new X509Certificate(at.raw);
    if (chain.length > 0 && certificate.checkIssued(certificate)) break;
    chain.push(certificate);
    at = at.issuerCertificate === at ? null : (at.issuerCertificate ?? null);
  }
  return chain;
};
