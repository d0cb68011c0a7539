import { type Http2Stream, performServerHandshake } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { AegisError } from '@aegis/errors';
import { certifiedUser, federationIdentity, subjectOf, toGrpcStatus } from '@aegis/service-kit';
import { certificateError, type Principal, principalOf } from '../domain/client-certificate.ts';

/** A refused caller may read why for so long. */
const FAREWELL_MS = 5_000;

/** Whom the certificate of a TLS connection names; null when it showed none. Throws what is wrong with the one it showed. */
export const principalOfSocket = (socket: TLSSocket): Principal | null => {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  if (!socket.authorized) throw certificateError(codeOf(socket.authorizationError));
  return principalOf({
    subject: subjectOf(certificate),
    stated: federationIdentity(certificate.subjectAltName),
    user: certifiedUser(certificate.subjectAltName),
    until: certificate.validToDate.getTime(),
  });
};

const codeOf = (error: unknown): string => {
  const { code } = error instanceof Error ? (error as NodeJS.ErrnoException) : { code: String(error) };
  return code ?? 'UNKNOWN';
};

/**
 * Tells a caller, in the protocol it chose, why it is refused, whatever it asks, and ends the connection. It reaches no door:
 * with an alert of TLS alone a person would read "connection reset".
 */
export const refuseConnection = (socket: TLSSocket, error: AegisError): void => {
  setTimeout(() => socket.destroy(), FAREWELL_MS).unref();
  if (socket.alpnProtocol === 'h2') refuseHttp2(socket, error);
  else refuseHttp1(socket, error);
};

const refuseHttp1 = (socket: TLSSocket, error: AegisError): void => {
  const body = JSON.stringify({ detail: `${error.code}: ${error.message}` });
  const head = [
    error.entry.kind === 'unavailable' ? 'HTTP/1.1 503 Service Unavailable' : 'HTTP/1.1 401 Unauthorized',
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  // The request is let through unread to its end, so that the answer is not lost to a reset.
  socket.resume();
  socket.once('data', () => socket.end(`${head.join('\r\n')}\r\n\r\n${body}`));
};

const refuseHttp2 = (socket: TLSSocket, error: AegisError): void => {
  const { code, details, metadata } = toGrpcStatus(error);
  const trailers = Object.fromEntries(
    Object.entries(metadata.toHttp2Headers()).map(([name, values]) => [name, String(values)]),
  );
  const session = performServerHandshake(socket, { settings: { maxConcurrentStreams: 1 } });
  session.on('error', () => socket.destroy());
  session.on('stream', (stream: Http2Stream & { respond?: unknown }) => {
    stream.on('error', () => {});
    stream.resume();
    (stream as unknown as { respond(headers: object, options: object): void }).respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': String(code),
        'grpc-message': encodeURIComponent(details),
        ...trailers,
      },
      { endStream: true },
    );
    session.close();
  });
};
