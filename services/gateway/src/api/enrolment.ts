import { EnrolmentService } from '@aegis/contracts/aegis/node/v1/node';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import { certifyNode, renewCertificate } from '../flows/certify-node.ts';
import type { Gateway } from '../flows/gateway.ts';

/** How guards come by certificates. `connectionOf`: of a caller, as the door names it. */
export const enrolmentService = (gateway: Gateway, connectionOf: (peer: string) => object | undefined): LocalService =>
  serviceOf(EnrolmentService, {
    enrol: async ({ invitation, csr }) => ({ chain: await certifyNode(gateway, invitation, csr) }),
    renew: async ({ csr }, { caller }) => ({ chain: await renewCertificate(gateway, connectionOf(caller), csr) }),
  });
