import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import type { Signer } from './signer.ts';
import {
  FleetError,
  type FleetMethod,
  joinedIfSmall,
  type Place,
  type Refusal,
  type Transport,
  totalLength,
} from './transport.ts';

/** Initial window of gRPC's C core, seen on the wire of flwr 1.39. */
const WINDOW = 4_194_304;

/** Dialect B: gRPC, one HTTP/2 connection per node for everything. */
export class GrpcTransport implements Transport {
  readonly #session: ClientHttp2Session;
  readonly #signer: Signer;
  readonly #key: string;
  #broken: Error | null = null;

  constructor(place: Place, ca: string, signer: Signer) {
    this.#signer = signer;
    this.#key = signer.publicKeyPem.toString('base64');
    this.#session = connect(`https://${place.host}:${place.port}`, {
      createConnection: () => connectTls({ ...place, ca, ALPNProtocols: ['h2'] }),
      settings: { enablePush: false, initialWindowSize: WINDOW },
    });
    this.#session.on('connect', (session) => session.setLocalWindowSize(WINDOW));
    this.#session.on('error', (error: Error) => {
      this.#broken = error;
    });
    this.#session.on('close', () => {
      this.#broken ??= new Error('connection closed');
    });
  }

  async call(method: FleetMethod, body: Uint8Array[], timeoutMs: number): Promise<Buffer> {
    if (this.#broken) throw new FleetError('fatal', `${method}: ${this.#broken.message}`);
    const { timestamp, signature } = this.#signer.credential();
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': `/flwr.proto.Fleet/${method}`,
      te: 'trailers',
      'content-type': 'application/grpc',
      'user-agent': 'grpc-python/1.76.0 grpc-c/51.0.0 (linux; chttp2)',
      'grpc-accept-encoding': 'identity, deflate, gzip',
      'flwr-package-name': 'flwr',
      'flwr-package-version': '1.39.0',
      'flwr-component-name': 'SuperNode',
      'flwr-public-key-bin': this.#key,
      'flwr-timestamp': timestamp,
      'flwr-signature-bin': signature.toString('base64'),
    });
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(totalLength(body), 1);
    for (const piece of joinedIfSmall([prefix, ...body])) stream.write(piece);
    stream.end();
    return answerOf(stream, method, timeoutMs);
  }

  /** A gRPC channel keeps its one connection. */
  forgetIdle(): void {}

  close(): void {
    this.#session.destroy();
  }
}

function answerOf(stream: ClientHttp2Stream, method: FleetMethod, timeoutMs: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let status: IncomingHttpHeaders = {};
  const timer = setTimeout(() => stream.destroy(new Error('deadline')), timeoutMs);
  const noteStatus = (headers: IncomingHttpHeaders) => {
    if (headers['grpc-status'] !== undefined) status = headers;
  };
  stream.on('response', noteStatus);
  stream.on('trailers', noteStatus);
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', (error) => {
    clearTimeout(timer);
    reject(new FleetError('retry', `${method}: ${error.message}`));
  });
  stream.on('close', () => {
    clearTimeout(timer);
    const code = status['grpc-status'];
    if (code === '0') resolve((chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)).subarray(5));
    else reject(new FleetError(refusalOf(code), `${method}: grpc-status ${code} ${status['grpc-message'] ?? ''}`));
  });
  return promise;
}

function refusalOf(code: string | string[] | undefined): Refusal {
  if (code === '14' || code === undefined) return 'retry';
  if (code === '7') return 'run-over';
  return code === '16' ? 'expelled' : 'fatal';
}
