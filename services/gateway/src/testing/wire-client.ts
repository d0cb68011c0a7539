import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { whenStuck } from '@aegis/service-kit';
import { type ChannelOptions, Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Signed } from './node-key.ts';

export interface Target {
  host: string;
  port: number;
  /** PEM; undefined = plain text. */
  ca?: Buffer;
  /** The certificate the client shows, PEM. */
  client?: { readonly cert: string; readonly key: string };
}

/** A refusal as a client sees it: the HTTP status or the gRPC code, and the text. */
export class Refused extends Error {
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: string) {
    super(`${status}: ${body}`);
    this.status = status;
    this.body = body;
  }
}

export interface WireClient {
  /** `method` in kebab-case. */
  call(method: string, body: Uint8Array, signed: Partial<Signed>, signal?: AbortSignal): Promise<Buffer>;
  close(): void;
}

/** As stock nodes have it: 30 s for any silence in flwr's HTTP client, 20 s for a connection in gRPC's core. Nothing else ends a call to an address that is gone. */
const SILENCE_MS = 30_000;
const CONNECT_MS = 20_000;

/** flwr 1.40 and newer: protobuf over HTTP/1.1. */
export const httpClient = (target: Target, flwrVersion = '1.41.0'): WireClient => {
  const agent = target.ca
    ? new HttpsAgent({ keepAlive: true, maxSockets: 4, ca: target.ca, ...target.client })
    : new HttpAgent({ keepAlive: true, maxSockets: 4 });
  return {
    call: (method, body, signed, signal) =>
      rawHttp(target, agent, {
        path: `/v1/fleet/${method}`,
        body,
        headers: {
          'content-type': 'application/protobuf',
          accept: 'application/protobuf',
          'flwr-package-name': 'flwr',
          'flwr-package-version': flwrVersion,
          ...(signed.publicKeyPem && { 'flwr-public-key': signed.publicKeyPem.toString('base64') }),
          ...(signed.timestamp && { 'flwr-timestamp': signed.timestamp }),
          ...(signed.signature && { 'flwr-signature': signed.signature.toString('base64') }),
        },
        silenceMs: SILENCE_MS,
        signal,
      }),
    close: () => agent.destroy(),
  };
};

export interface RawRequest {
  path: string;
  method?: string;
  body?: Uint8Array | undefined;
  headers?: Record<string, string>;
  /** The request fails when nothing is heard for so long, its connection included; default: never. */
  silenceMs?: number;
  signal?: AbortSignal | undefined;
}

export const rawHttp = (target: Target, agent: HttpAgent | undefined, raw: RawRequest): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const { path, method = 'POST', body, headers = {}, silenceMs, signal } = raw;
    const options = {
      host: target.host,
      port: target.port,
      path,
      method,
      headers: { ...(body && { 'content-length': String(body.byteLength) }), ...headers },
      ...(agent && { agent }),
      ...(signal && { signal }),
    };
    const silent = (): unknown => request.destroy(new Error(`nothing heard for ${silenceMs} ms`));
    const patience = silenceMs === undefined ? undefined : setTimeout(silent, silenceMs);
    const onResponse = (response: IncomingMessage): void => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => {
        patience?.refresh();
        pieces.push(piece);
      });
      response.on('error', reject);
      response.on('end', () => {
        const bytes = Buffer.concat(pieces);
        if (response.statusCode === 200) resolve(bytes);
        else reject(new Refused(response.statusCode ?? 0, bytes.toString()));
      });
    };
    const request = target.ca
      ? httpsRequest({ ...options, ca: target.ca, servername: 'localhost' }, onResponse)
      : httpRequest(options, onResponse);
    request.on('error', reject);
    request.on('close', () => clearTimeout(patience));
    request.end(body);
  });

const secure = (ca: Buffer, client: Target['client']) =>
  client ? credentials.createSsl(ca, Buffer.from(client.key), Buffer.from(client.cert)) : credentials.createSsl(ca);

/** A gRPC client on a connection of its own. */
export const openClient = (target: Target, options: ChannelOptions = {}): Client =>
  new Client(
    `${target.host}:${target.port}`,
    target.ca ? secure(target.ca, target.client) : credentials.createInsecure(),
    {
      ...(target.ca && { 'grpc.ssl_target_name_override': 'localhost' }),
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': -1,
      ...options,
    },
  );

/** flwr 1.20 to 1.39: gRPC. */
export const grpcClient = (target: Target, flwrVersion = ''): WireClient => {
  const open = (): Client => {
    const opened = openClient(target, {
      'grpc.max_send_message_length': -1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 200,
    });
    const openAnew = (): void => {
      if (client !== opened || closed) return;
      client = open();
      opened.close();
    };
    whenStuck(opened, { waitMs: CONNECT_MS, connected: () => {}, stuck: openAnew });
    return opened;
  };
  let closed = false;
  let client = open();
  return {
    call: (method, body, signed, signal) => {
      const metadata = new Metadata();
      if (signed.publicKeyPem) metadata.set('flwr-public-key-bin', signed.publicKeyPem);
      if (signed.timestamp) metadata.set('flwr-timestamp', signed.timestamp);
      if (signed.signature) metadata.set('flwr-signature-bin', signed.signature);
      if (flwrVersion !== '') metadata.set('flwr-package-version', flwrVersion);
      const rpc = method.replaceAll(/(?:^|-)([a-z])/g, (_all, letter: string) => letter.toUpperCase());
      return rawGrpc(client, `/flwr.proto.Fleet/${rpc}`, body, metadata, signal);
    },
    close: () => {
      closed = true;
      client.close();
    },
  };
};

export const rawGrpc = (
  client: Client,
  path: string,
  body: Uint8Array,
  metadata: Metadata,
  signal?: AbortSignal,
): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const same = (bytes: Buffer): Buffer => bytes;
    const done = (error: ServiceError | null, bytes?: Buffer): void => {
      if (error) reject(new Refused(error.code, error.details));
      else resolve(bytes ?? Buffer.alloc(0));
    };
    const call = client.makeUnaryRequest(path, same, same, Buffer.from(body), metadata, done);
    signal?.addEventListener('abort', () => call.cancel(), { once: true });
  });
