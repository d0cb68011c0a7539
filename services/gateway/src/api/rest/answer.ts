import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AegisError, ErrorCode, Kind } from '@aegis/errors';
import { discardRest } from '@aegis/flower-wire';

const statusOfKind: Readonly<Record<Kind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  over: 410,
  'too-large': 413,
  unavailable: 503,
  internal: 500,
};
const statusOfCode: Partial<Record<ErrorCode, number>> = { MEDIA_TYPE: 415, HTTP_METHOD: 405, REGISTRATIONS: 429 };
const RETRY_SECONDS: Readonly<Record<number, number>> = { 503: 1, 429: 60 };

/** A manifest's: it names 40 GB in parts of 1 MiB. */
export const LARGEST_BODY = 4 * 2 ** 20;

export const statusOf = ({ code, entry }: AegisError): number => statusOfCode[code] ?? statusOfKind[entry.kind];

/** `value`: what becomes JSON, or JSON's bytes. */
export const sendJson = (response: ServerResponse, value: unknown): void => {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  response.writeHead(200, { ...headers, 'content-length': bytes.byteLength }).end(bytes);
};

/** As RFC 9457 has it, with our code and what to do. */
export const sendProblem = (
  request: IncomingMessage,
  response: ServerResponse,
  error: AegisError,
  headers: Readonly<Record<string, string>> = {},
): void => {
  const status = statusOf(error);
  const { public: title, todo } = error.entry;
  const type = `urn:aegis:error:${error.code}`;
  const body = Buffer.from(JSON.stringify({ type, title, status, detail: error.detail, code: error.code, do: todo }));
  // The client must be able to send the rest, or it never reads the answer.
  if (!request.complete) discardRest(request, LARGEST_BODY);
  response.writeHead(status, {
    ...headers,
    'content-type': 'application/problem+json',
    'content-length': body.byteLength,
    ...(RETRY_SECONDS[status] && { 'retry-after': String(RETRY_SECONDS[status]) }),
    ...(status === 401 && { 'www-authenticate': 'Aegis-HMAC-SHA256' }),
  });
  response.end(body);
};
