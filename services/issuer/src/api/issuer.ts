import { IssuerService } from '@aegis/contracts/aegis/issuer/v1/issuer';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import { issueFirst, renew } from '../flows/certify-key.ts';
import type { Ground } from '../flows/ground.ts';
import { RevocationList } from '../flows/revocation-list.ts';
import { revoke } from '../flows/revoke.ts';

export const issuerService = (ground: Ground): LocalService => {
  const list = new RevocationList(ground);
  return serviceOf(IssuerService, {
    issue: async (request) => ({ chain: await issueFirst(ground, request) }),
    renew: async (request) => ({ chain: await renew(ground, request) }),
    revoke: async ({ name }) => ({ found: await revoke(ground, name) }),
    readList: async () => ({
      crl: await list.read(),
      certificates: [ground.authority, ...ground.former].map(({ certPem }) => certPem).join(''),
    }),
  });
};
