// One port for everything: gRPC (HTTP/2) and HTTP/1.1. With TLS the client says by ALPN which ones it speaks; in plain
// text its first bytes do.

import { constants } from 'node:crypto';
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import { type Http2Server, constants as http2, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Server as NetServer, Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import { AegisError } from '@aegis/errors';
import { type ConnectionInjector, type Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import { ConnectionPlaces, type NoPlace, type PlaceLimits } from './connection-places.ts';
import { watchForFloods } from './http2-floods.ts';
import { Pace } from './pace.ts';

export interface OnePortOptions {
  host: string;
  /** 0 = any free one. */
  port: number;
  /** PEM. null = plain text, for development and sidecars on loopback. */
  tls: PortTls | null;
  /**
   * Looks at each TLS connection after its handshake; `connection` is its identity as `connectionOf` has it. false: it took the
   * connection over, to refuse it.
   */
  screen?: (socket: TLSSocket, connection: object) => boolean;
  /**
   * Asked of each connection before it costs anything, handshake included; false: its address begins too many. `connection` is its
   * identity as `connectionOf` has it.
   */
  admits?: (address: string, connection: object) => boolean;
  /** A TLS socket goes by two identities: that of HTTP calls, and that of the connection below. */
  secured?: (socket: TLSSocket, connection: object) => void;
  /** Never listens itself. */
  http: HttpServer;
  /** Never bound itself; services already added. */
  grpc: GrpcServer;
  limits?: Partial<OnePortLimits>;
  /**
   * Says of a socket whether its end, also by the death of this process, is a reset. Used until the TLS handshake is over: a SuperNode
   * of 1.40 and later comes back after a reset, but takes an orderly end there for a bad certificate and never comes again.
   */
  resetOnClose?: (socket: Socket, on: boolean) => void;
  /** Told why a connection was refused or failed before it carried anything. */
  onRefused?: (reason: RefusedConnection, address: string, error?: Error) => void;
}

export interface PortTls {
  cert: string | Buffer;
  key: string | Buffer;
  /** Callers are asked for a certificate of these authorities, none is turned away for showing none or a bad one: see `screen`. */
  clients?: { ca: string | Buffer; crl?: string[] };
}

/**
 * `too-fast`: of an address that begins too many. `made-room`: a stranger's, for a newer one. `silent`: an HTTP/2 connection that never carried
 * a call. `flood`: one that nobody vouched for, with more calls or frames than anybody needs.
 */
export type RefusedConnection = NoPlace | 'made-room' | 'too-fast' | 'handshake' | 'silent' | 'flood';

export interface OnePortLimits extends PlaceLimits {
  /** Of a connection that nobody vouched for, in ten seconds. */
  callsOfStrangers: number;
  /** For the TLS handshake, and in plain text for the first bytes. */
  handshakeMs: number;
  /** An HTTP/2 connection that carries no call for so long after its beginning is closed; one with a past call stays. */
  firstCallMs: number;
  /** Idle HTTP/1.1 connections; longer than any pause of a client between calls, so that we do not close under its hands. */
  keepAliveMs: number;
}

export interface OnePort {
  address: { host: string; port: number };
  /**
   * Identity of the live connection with this remote "address:port", as gRPC calls name their peer. Asked by every call:
   * it is how the port knows that a connection carries some.
   */
  connectionOf(peer: string): object | undefined;
  connections(): number;
  /** Whoever is at the other end has shown who it is: it keeps its place when there are too many. By either identity. */
  vouchFor(connection: object): void;
  /** New certificate for new connections. */
  replaceCertificate(tls: PortTls): void;
  /** No new connections; idle ones close, calls under way have `graceMs` to end, then close() follows. */
  drain(graceMs: number): Promise<void>;
  close(): Promise<void>;
}

const defaults: OnePortLimits = {
  connections: 20_000,
  connectionsPerAddress: 20_000,
  callsOfStrangers: 100,
  handshakeMs: 10_000,
  firstCallMs: 30_000,
  keepAliveMs: 90_000,
};

const PINGS = 500;
const SETTINGS = 20;

/** Connections the system holds until we take them: thousands of nodes come back at once when a server returns. Node's default is 511. */
const BACKLOG = 4_096;

/** First bytes of HTTP/2 with prior knowledge; no HTTP/1.1 method begins like this. */
const h2Preface = Buffer.from('PRI ');

export async function listenOnePort(options: OnePortOptions): Promise<OnePort> {
  const port = new Port(options);
  await port.listen();
  return port;
}

class Port implements OnePort {
  readonly #options: OnePortOptions;
  readonly #limits: OnePortLimits;
  readonly #server: NetServer | TlsServer;
  readonly #injector: ConnectionInjector;
  readonly #places: ConnectionPlaces;
  readonly #paces = new WeakMap<Socket, Pace>();
  readonly #byPeer = new Map<string, Socket>();
  /** Of HTTP/2 connections without a call so far, by peer: what ends them. */
  readonly #silent = new Map<string, NodeJS.Timeout>();
  #closed: Promise<void> | undefined;
  #whenEmpty: () => void = () => {};

  constructor(options: OnePortOptions) {
    this.#options = options;
    this.#limits = { ...defaults, ...options.limits };
    this.#places = new ConnectionPlaces(this.#limits);
    const { http, grpc, tls } = options;
    for (const event of ['request', 'checkContinue']) {
      http.prependListener(event, ({ socket }: IncomingMessage) => this.#asked(socket));
    }
    http.keepAliveTimeout = this.#limits.keepAliveMs;
    // An HTTP server that does not listen would neither time out slow requests nor find its idle connections.
    http.emit('listening');
    this.#injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
    for (const server of http2ServersOf(grpc)) {
      answerStrangers(server);
      watchForFloods(server, {
        paces: { streams: this.#limits.callsOfStrangers, pings: PINGS, settings: SETTINGS },
        isStranger: ({ socket }) => this.#isStranger(socket),
        onFlood: ({ socket }) => this.#refuse(this.#below(socket), 'flood'),
      });
    }
    if (tls === null) {
      this.#server = createServer((socket) => this.#sortByFirstBytes(socket));
    } else {
      this.#server = createTlsServer(
        {
          ...contextOf(tls),
          ...(tls.clients && { requestCert: true, rejectUnauthorized: false }),
          // In our order: a client that speaks both, as curl, Go's or a browser do, is no gRPC client, and is served over HTTP/1.1.
          ALPNProtocols: ['http/1.1', 'h2'],
          handshakeTimeout: this.#limits.handshakeMs,
        },
        (socket) => this.#sortByAlpn(socket),
      );
      this.#server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
        options.onRefused?.('handshake', socket.remoteAddress ?? '', error);
        // The other end may read why; one that was too slow for us shall come again.
        if ((error as NodeJS.ErrnoException).code !== 'ERR_TLS_HANDSHAKE_TIMEOUT') this.#endOrderly(socket);
        socket.destroy();
      });
    }
    // On the TCP level, also below TLS: counted before a handshake costs anything.
    this.#server.prependListener('connection', (socket: Socket) => this.#admit(socket));
  }

  get address(): { host: string; port: number } {
    const { address, port } = this.#server.address() as AddressInfo;
    return { host: address, port };
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      const { host, port } = this.#options;
      this.#server.listen({ host, port, backlog: BACKLOG }, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
  }

  connections(): number {
    return this.#places.size;
  }

  vouchFor(connection: object): void {
    if (connection instanceof Socket) this.#places.vouchFor(this.#below(connection));
  }

  connectionOf(peer: string): object | undefined {
    this.#heard(peer);
    return this.#byPeer.get(peer);
  }

  replaceCertificate(tls: PortTls): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(contextOf(tls));
  }

  async drain(graceMs: number): Promise<void> {
    this.#stopListening();
    this.#options.http.closeIdleConnections();
    // Answers from now on carry "connection: close".
    this.#options.http.keepAliveTimeout = 1;
    this.#options.http.maxRequestsPerSocket = 1;
    this.#injector.drain(graceMs);
    const deadline = setTimeout(() => this.#destroyAll(), graceMs);
    const idle = setInterval(() => this.#options.http.closeIdleConnections(), 50);
    await this.#closed;
    clearTimeout(deadline);
    clearInterval(idle);
    await this.close();
  }

  async close(): Promise<void> {
    this.#stopListening();
    this.#destroyAll();
    this.#injector.destroy();
    // Ends the timer that `listening` started.
    this.#options.http.close();
    await this.#closed;
  }

  /** `#closed` settles when the last connection is gone. */
  #stopListening(): void {
    if (this.#closed !== undefined) return;
    this.#closed = new Promise((resolve) => {
      this.#whenEmpty = resolve;
    });
    this.#server.close();
    if (this.#places.size === 0) this.#whenEmpty();
  }

  #destroyAll(): void {
    for (const socket of this.#places.sockets()) socket.destroy();
  }

  #admit(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const peer = peerOf(socket);
    const leaving = this.#places.enter(socket, address);
    if (this.#options.tls !== null) this.#options.resetOnClose?.(socket, true);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      this.#places.leave(socket);
      if (this.#places.size === 0) this.#whenEmpty();
      if (this.#byPeer.get(peer) === socket) this.#byPeer.delete(peer);
      this.#heard(peer);
    });
    // The kernel has one connection of a name at a time: what stood here is over, though its 'close' has not come through.
    // No call may be taken for one of the new connection.
    this.#byPeer.get(peer)?.destroy();
    this.#byPeer.set(peer, socket);
    if (leaving) this.#refuse(leaving.socket, leaving.reason);
    if (socket.destroyed) return;
    if (this.#options.admits?.(address, socket) === false) {
      this.#refuse(socket, 'too-fast');
      return;
    }
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
  }

  /** The TCP socket of either identity. */
  #below(socket: Socket): Socket {
    return this.#byPeer.get(peerOf(socket)) ?? socket;
  }

  #isStranger(socket: Socket | undefined): boolean {
    return socket !== undefined && this.#places.isStranger(this.#below(socket));
  }

  /** An HTTP/1.1 request came. */
  #asked(socket: Socket): void {
    const below = this.#below(socket);
    if (!this.#places.isStranger(below)) return;
    const pace = this.#paces.get(below) ?? new Pace(this.#limits.callsOfStrangers);
    this.#paces.set(below, pace);
    if (!pace.step(performance.now())) this.#refuse(below, 'flood');
  }

  #refuse(socket: Socket, reason: RefusedConnection): void {
    this.#options.onRefused?.(reason, socket.remoteAddress ?? '');
    socket.destroy();
  }

  #sortByAlpn(socket: TLSSocket): void {
    socket.on('error', () => socket.destroy());
    if (socket.destroyed) return;
    const connection = this.#endOrderly(socket);
    this.#options.secured?.(socket, connection);
    if (this.#options.screen?.(socket, connection) === false) return;
    if (socket.alpnProtocol === 'h2') this.#carryHttp2(socket);
    else this.#options.http.emit('connection', socket);
  }

  /** The TCP socket below, whose end is an ordinary one from now on. */
  #endOrderly(secured: TLSSocket): Socket {
    const socket = this.#below(secured);
    this.#options.resetOnClose?.(socket, false);
    return socket;
  }

  #carryHttp2(socket: Socket): void {
    if (socket.destroyed) return;
    const silence = setTimeout(() => this.#refuse(socket, 'silent'), this.#limits.firstCallMs);
    this.#silent.set(peerOf(socket), silence);
    this.#injector.injectConnection(socket);
  }

  #heard(peer: string): void {
    const silence = this.#silent.get(peer);
    if (silence === undefined) return;
    clearTimeout(silence);
    this.#silent.delete(peer);
  }

  #sortByFirstBytes(socket: Socket): void {
    if (socket.destroyed) return;
    const timeout = setTimeout(() => socket.destroy(), this.#limits.handshakeMs);
    const cancel = (): void => clearTimeout(timeout);
    socket.once('close', cancel);
    let seen = Buffer.alloc(0);
    const look = (): void => {
      const piece: Buffer | null = socket.read();
      if (piece === null) return;
      seen = Buffer.concat([seen, piece]);
      const known = Math.min(seen.length, h2Preface.length);
      const like = seen.subarray(0, known).equals(h2Preface.subarray(0, known));
      if (like && known < h2Preface.length) return;
      socket.off('readable', look);
      socket.off('close', cancel);
      cancel();
      // Once only: bytes put back announce themselves as readable again.
      socket.unshift(seen);
      if (like) this.#carryHttp2(socket);
      else {
        this.#options.http.emit('connection', socket);
        // The bytes put back are in the stream; without this nothing would ask for them.
        socket.resume();
      }
    };
    socket.on('readable', look);
  }
}

/** grpc-js keeps its HTTP/2 servers to itself: this is the one way to them. */
const http2ServersOf = (grpc: GrpcServer): Iterable<Http2Server> =>
  (grpc as unknown as { readonly http2Servers: ReadonlyMap<Http2Server, unknown> }).http2Servers.keys();

/** Any stream that is not gRPC's is told to use HTTP/1.1; grpc-js says 415 and not a word. */
const answerStrangers = (server: Http2Server): void => {
  const serve = server.listeners('stream');
  server.removeAllListeners('stream');
  server.on('stream', (stream, headers, ...more) => {
    if (headers['content-type']?.startsWith('application/grpc')) {
      for (const listener of serve) listener.call(server, stream, headers, ...more);
    } else answerStranger(stream);
  });
};

const answerStranger = (stream: ServerHttp2Stream): void => {
  const { code, detail, entry } = new AegisError('HTTP_VERSION');
  const status = 505;
  const problem = { type: `urn:aegis:error:${code}`, title: entry.public, status, detail, code, do: entry.todo };
  stream.on('error', () => {});
  stream.respond({ ':status': status, 'content-type': 'application/problem+json' });
  // Whoever is still sending is told to stop.
  stream.end(JSON.stringify(problem), () => stream.close(http2.NGHTTP2_NO_ERROR));
};

/** A resumed session would bring back the verdict on its certificate from when it began, revoked or not: there are none. */
const contextOf = ({ cert, key, clients }: PortTls): SecureContextOptions => ({
  ...{ cert, key, minVersion: 'TLSv1.3' as const },
  ...(clients && { ca: clients.ca, secureOptions: constants.SSL_OP_NO_TICKET }),
  ...(clients?.crl !== undefined && { crl: clients.crl }),
});

/** As grpc-js names the other end. */
const peerOf = ({ remoteAddress = '', remotePort }: Socket): string => `${remoteAddress}:${remotePort}`;
