import { IssuerService } from '@aegis/contracts/aegis/issuer/v1/issuer';
import type { ServiceChannel } from '@aegis/service-kit';
import type { IssuerPeer } from './contract.ts';

/** It is asked again and again, and what the files revoke waits meanwhile: an issuer that hangs must not keep anybody in for longer. */
const LIST_MS = 1_000;

/** The issuer, behind gRPC; null: there is none, and certificates are made by hand. */
export const issuerPeer = (channel: ServiceChannel | null): IssuerPeer | null => {
  if (channel === null) return null;
  const issuer = channel.client(IssuerService);
  return {
    issue: async (request) => (await issuer.issue({ ...request, csr: Buffer.from(request.csr) })).chain,
    renew: async (request) => (await issuer.renew({ ...request, csr: Buffer.from(request.csr) })).chain,
    revoke: async (name) => {
      await issuer.revoke({ name });
    },
    standing: () => issuer.readList({}, { timeoutMs: LIST_MS }),
  };
};
