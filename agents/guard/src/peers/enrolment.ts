import { EnrolmentService } from '@aegis/contracts/aegis/node/v1/node';
import { fromGrpcStatus, type TlsMaterial } from '@aegis/service-kit';
import type { EnrolmentPeer } from './contract.ts';
import { openServerClient, type ServerWay } from './server-client.ts';

const ANSWER_MS = 20_000;

/** The gateway's door for certificates. Each call has a connection of its own: it is seldom, and the certificate is another each time. */
export const enrolmentAt = (way: ServerWay, ca: Buffer): EnrolmentPeer => ({
  enrol: (invitation, csr) => ask(way, { ca }, 'enrol', { invitation, csr: Buffer.from(csr) }),
  renew: (csr, tls) => ask(way, tls, 'renew', { csr: Buffer.from(csr) }),
});

const ask = <N extends 'enrol' | 'renew'>(
  way: ServerWay,
  tls: Parameters<typeof openServerClient>[1] | TlsMaterial,
  name: N,
  request: N extends 'enrol' ? { invitation: string; csr: Buffer } : { csr: Buffer },
): Promise<string> =>
  new Promise((resolve, reject) => {
    const client = openServerClient(way, tls);
    const { path, requestSerialize, responseDeserialize } = EnrolmentService[name];
    client.makeUnaryRequest(
      path,
      requestSerialize as (message: typeof request) => Buffer,
      responseDeserialize,
      request,
      { deadline: Date.now() + ANSWER_MS },
      (error, answer) => {
        client.close();
        if (error || !answer) reject(fromGrpcStatus(error as never));
        else resolve(answer.chain);
      },
    );
  });
