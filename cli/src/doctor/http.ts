import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { Finding, type Patient, within } from './step.ts';
import { serverTrust } from './tls.ts';

export interface Request {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Buffer;
  /** Shows the node's own certificate. Default: none. */
  readonly showsCertificate?: boolean;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** One HTTP/1.1 exchange with the patient, on a connection of its own. */
export async function exchange(patient: Patient, request: Request): Promise<Answer> {
  const { method, path, headers = {}, body, showsCertificate = false } = request;
  const late = new Finding(`no answer to ${method} ${path}`, 'The server is overloaded or hangs: look at its log.');
  return await within(patient, late, (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const options = { host: patient.host, port: patient.port, method, path, headers, agent: false, signal } as const;
    const shown = showsCertificate && patient.own ? { cert: patient.own.certificate, key: patient.own.key } : {};
    const sent = patient.insecure
      ? plainRequest(options)
      : tlsRequest({ ...options, ...serverTrust(patient), ...shown });
    sent.once('error', reject);
    sent.once('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.once('error', reject);
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
      );
    });
    sent.end(body);
    return promise;
  });
}
