import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import type { AegisError } from '@aegis/errors';
import { type Revocations, readRoots } from '@aegis/service-kit';
import { certificateError } from '../domain/client-certificate.ts';

/** Whom the port trusts now. */
export interface Trust {
  readonly authorities: readonly X509Certificate[];
  readonly revocations: Revocations | null;
}

export const trustOf = (ca: Buffer, revocations: Revocations | null): Trust => ({
  authorities: readRoots(ca.toString()),
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
const findingOf = (chain: readonly X509Certificate[], { authorities, revocations }: Trust, now: number) => {
  if (chain.some(({ validToDate }) => now > validToDate.getTime())) return 'CERT_HAS_EXPIRED';
  if (revocations !== null && chain.some(({ raw }) => revocations.has(new Uint8Array(raw)))) return 'CERT_REVOKED';
  const isIssuedByOneOf = (certificate: X509Certificate) =>
    authorities.some((authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey));
  return chain.some(isIssuedByOneOf) ? null : 'UNABLE_TO_VERIFY_LEAF_SIGNATURE';
};

/** The leaf first. The authority at its end is not part of what the caller has to prove. */
const chainOf = (socket: TLSSocket): X509Certificate[] => {
  const chain: X509Certificate[] = [];
  let at: DetailedPeerCertificate | null = socket.getPeerCertificate(true);
  while (at?.raw !== undefined && chain.length < LONGEST_CHAIN) {
    const issuer: DetailedPeerCertificate | null = at.issuerCertificate === at ? null : (at.issuerCertificate ?? null);
    if (chain.length > 0 && issuer === null) break;
    chain.push(new X509Certificate(at.raw));
    at = issuer;
  }
  return chain;
};
