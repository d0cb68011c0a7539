import { createHash, createHmac } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Target } from './wire-client.ts';

export interface RestAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly bytes: Buffer;
  json(): RestJson;
}

/** What any answer may say; a test reads what its own has. */
export interface RestJson {
  readonly nonce: string;
  readonly nodeId: string;
  readonly secret: string;
  readonly code: string;
  readonly task: { readonly taskId: string; readonly kind: string } | null;
  readonly status: string | number;
  readonly missing: string[];
}

export interface Sent {
  readonly body?: Buffer | object | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of those of the request. */
  readonly signed?: Partial<Record<'node' | 'secret' | 'nonce' | 'method' | 'target' | 'bodyHash', string>>;
  /** Announced instead of what is sent. */
  readonly length?: number;
}

export const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A client of /api/v1 as docs/rest.md describes it, that lies on request. In plain text. */
export class RestClient {
  readonly target: Target;
  node = '';
  secret = '';

  constructor(target: Target) {
    this.target = target;
  }

  async register(body: object = {}): Promise<bigint> {
    const { nodeId, secret } = (await this.plain('POST', '/api/v1/register', { body })).json();
    this.node = nodeId;
    this.secret = secret;
    return BigInt(nodeId);
  }

  async nonce(target = this.target): Promise<string> {
    return (await send(target, 'GET', '/api/v1/nonce', {}, undefined)).json().nonce;
  }

  /** Without a signature. */
  plain(method: string, path: string, { body, headers = {}, length }: Sent = {}): Promise<RestAnswer> {
    const bytes = bytesOf(body);
    return send(this.target, method, path, { ...typeOf(body), ...headers }, bytes, length);
  }

  async call(
    method: string,
    path: string,
    { body, headers = {}, signed = {}, length }: Sent = {},
  ): Promise<RestAnswer> {
    const bytes = bytesOf(body);
    const all = { ...typeOf(body), ...(await this.signed(method, path, bytes, signed)), ...headers };
    return send(this.target, method, path, all, bytes, length);
  }

  /** The head of a request, signed with a nonce of its own. */
  async signed(
    method: string,
    path: string,
    bytes?: Buffer,
    signed: NonNullable<Sent['signed']> = {},
  ): Promise<Record<string, string>> {
    const bodyHash = signed.bodyHash ?? hashOf(bytes ?? Buffer.alloc(0));
    const nonce = signed.nonce ?? (await this.nonce());
    const text = `aegis rest v1\n${signed.method ?? method}\n${signed.target ?? path}\n${bodyHash}\n${nonce}`;
    return {
      'x-aegis-node': signed.node ?? this.node,
      'x-aegis-nonce': nonce,
      'x-aegis-content-sha256': bodyHash,
      'x-aegis-signature': createHmac('sha256', signed.secret ?? this.secret)
        .update(text)
        .digest('hex'),
    };
  }
}

const bytesOf = (body: Sent['body']): Buffer | undefined =>
  body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));

const typeOf = (body: Sent['body']): Record<string, string> =>
  body === undefined ? {} : { 'content-type': Buffer.isBuffer(body) ? 'application/octet-stream' : 'application/json' };

const send = (
  { host, port }: Target,
  method: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer | undefined,
  length = body?.byteLength,
): Promise<RestAnswer> =>
  new Promise((resolve, reject) => {
    const all = { ...headers, ...(length !== undefined && { 'content-length': String(length) }) };
    const request = httpRequest({ host, port, path, method, headers: all, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        const bytes = Buffer.concat(pieces);
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, bytes, json: () => JSON.parse(bytes.toString()) });
        request.destroy();
      });
    });
    request.on('error', reject);
    if (body && length !== undefined && length > body.byteLength) {
      request.write(body);
      request.flushHeaders();
    } else request.end(body);
  });
