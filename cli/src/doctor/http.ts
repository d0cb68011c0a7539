import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { Finding, type Patient, within } from './step.ts';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** One HTTP/1.1 exchange with the patient, on a connection of its own. */
export async function exchange(
  patient: Patient,
  method: 'GET' | 'POST',
  path: string,
  headers: OutgoingHttpHeaders = {},
  body?: Buffer,
): Promise<Answer> {
  const late = new Finding(`no answer to ${method} ${path}`, 'The server is overloaded or hangs: look at its log.');
  return await within(patient, late, (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const options = { host: patient.host, port: patient.port, method, path, headers, agent: false, signal } as const;
    const request = patient.insecure
      ? plainRequest(options)
      : tlsRequest({
          ...options,
          ...(patient.ca === undefined ? {} : { ca: patient.ca }),
        });
    request.once('error', reject);
    request.once('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.once('error', reject);
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
      );
    });
    request.end(body);
    return promise;
  });
}
