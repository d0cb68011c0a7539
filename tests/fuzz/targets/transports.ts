// Bytes as they come from the network: HTTP/1.1, HTTP/2 and gRPC's frames, at the gateway's doors and at the guard's.

import type { Server as HttpServer } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { type Duplex, duplexPair } from 'node:stream';
import { AegisError } from '@aegis/errors';
import {
  addFlowerServices,
  ControlService,
  createHttpDoor,
  type FleetHandler,
  FleetService,
  grpcServerOptions,
} from '@aegis/flower-wire';
import { noTelemetry, silentLogger } from '@aegis/service-kit';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { readExcerpt } from '../../../packages/flower-wire/src/recorded.ts';
import { ScriptedControl } from '../../../packages/flower-wire/src/scripted-handlers.ts';
import { httpServer } from '../../../services/gateway/src/api/http.ts';
import type { Target } from '../target.ts';

const LONGEST_MS = 5_000;

/** Knows nobody: requests reach the handler, and no further. */
const nobody = new Proxy({} as FleetHandler, {
  get: () => async () => {
    throw new AegisError('NODE_KEY_UNKNOWN');
  },
});
const counted = { refused: () => {} } as never;

const plainServer = (): HttpServer => {
  const fleet = new FleetService(nobody);
  const control = new ControlService(new ScriptedControl(), { now: () => 0 });
  const server = httpServer({
    flower: createHttpDoor({ fleet, control }),
    rest: null,
    counted,
    telemetry: noTelemetry,
  });
  server.emit('listening');
  return server;
};

/** All that comes back until the other side ends; who does not end within five seconds hangs. */
const exchange = (side: Duplex, input: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const late = setTimeout(() => {
      side.destroy();
      reject(new Error('the connection does not end'));
    }, LONGEST_MS);
    const end = (): void => {
      clearTimeout(late);
      resolve(Buffer.concat(pieces));
    };
    side.on('data', (piece: Buffer) => pieces.push(piece));
    side.once('end', end);
    side.once('close', end);
    side.once('error', end);
    side.end(input);
  });

const GET_RUN = Buffer.from('0a0208011001', 'hex');
const post = (path: string, body: Buffer, more = ''): Buffer =>
  Buffer.concat([
    Buffer.from(
      `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/protobuf\r\nflwr-package-version: 1.41.0\r\n${more}content-length: ${body.byteLength}\r\n\r\n`,
    ),
    body,
  ]);

export const http: Target = {
  ...{ name: 'http', door: 'HTTP/1.1: heads, framing, bodies, several requests on one connection', form: 'text' },
  words: [
    ...[
      '\r\n',
      '\r\n\r\n',
      'GET ',
      'POST ',
      ' HTTP/1.1',
      'content-length: ',
      'transfer-encoding: chunked\r\n',
      '0\r\n\r\n',
      'ffffffff\r\n',
    ],
    ...[
      'expect: 100-continue\r\n',
      'connection: close\r\n',
      'upgrade: h2c\r\n',
      '/v1/fleet/',
      '/v1/control/',
      '/health',
      '/metrics',
      ' ',
      '\x00',
    ],
    ...[
      'authorization: Bearer x\r\n',
      'content-encoding: gzip\r\n',
      '/../',
      '%00',
      'PRI * HTTP/2.0',
      'content-type: application/protobuf\r\n',
    ],
  ],
  seeds: () => [
    Buffer.from('GET /health HTTP/1.1\r\nhost: x\r\n\r\n'),
    Buffer.from('GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'),
    post('/v1/fleet/get-run', GET_RUN),
    post('/v1/control/list-runs', Buffer.alloc(0), 'authorization: Bearer t\r\n'),
    post('/v1/fleet/push-object', Buffer.alloc(40), 'expect: 100-continue\r\n'),
    Buffer.from(
      'POST /v1/fleet/get-run HTTP/1.1\r\nhost: x\r\ncontent-type: application/protobuf\r\ntransfer-encoding: chunked\r\n\r\n6\r\n\n\x02\b\x01\x10\x01\r\n0\r\n\r\n',
    ),
    ...readExcerpt('fedavg.fleet')
      .slice(0, 12)
      .filter(({ request }) => request.byteLength < 3_000)
      .map(({ path, request }) => post(path, request)),
  ],
  open: () => {
    const server = plainServer();
    const over = async (input: Buffer): Promise<string> => {
      const [ours, theirs] = duplexPair();
      server.emit('connection', theirs);
      return (await exchange(ours, input)).toString('latin1');
    };
    return {
      try: async (input) => {
        const answer = await over(input);
        const statuses = [...answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => status ?? '');
        const code = /"detail":"([A-Z_]+)/.exec(answer)?.[1] ?? '';
        if (statuses.includes('500')) throw new Error(`the answer is 500: ${answer.slice(0, 300)}`);
        if (statuses.some((status) => status.startsWith('2'))) return { note: statuses.slice(0, 3).join(' ') };
        throw new AegisError(
          'REQUEST_MALFORMED',
          `${statuses
            .slice(0, 3)
            .map((status) => `s${status[0]}x${status[2]}`)
            .join(' ')} ${code}`,
        );
      },
      honest: async () => {
        const answer = await over(Buffer.from('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'));
        if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`/health answers ${answer.slice(0, 40)}`);
      },
      close: async () => void server.close(),
    };
  },
};

const grpcDoor = () => {
  const server = new Server(grpcServerOptions);
  const fleet = new FleetService(nobody);
  const control = new ControlService(new ScriptedControl(), { now: () => 0 });
  addFlowerServices(server, { fleet, control, connectionOf: () => undefined });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    connect: (): Duplex => {
      const [ours, theirs] = duplexPair();
      injector.injectConnection(theirs as never);
      return ours;
    },
    close: async () => injector.destroy(),
  };
};

const GRPC = [
  'Fleet/GetRun',
  'Fleet/PullMessages',
  'Fleet/PushMessages',
  'Fleet/RegisterNode',
  'Fleet/SendNodeHeartbeat',
  'Fleet/PushObject',
  'Control/ListRuns',
  'Control/StartRun',
  'GrpcAdapter/SendReceive',
];
const framed = (method: number, message: Buffer): Buffer => {
  const prefix = Buffer.alloc(6);
  prefix[0] = method;
  prefix.writeUInt32BE(message.byteLength, 2);
  return Buffer.concat([prefix, message]);
};

export const grpc: Target = {
  ...{ name: 'grpc', door: "gRPC: frames of calls to Flower's services and to its adapter", form: 'bytes', keep: 1 },
  words: ['\x00\x00\x00\x00\x00', '\x01', '\xff\xff\xff\xff', '\x00\x00\x00\x00\x06'],
  seeds: () => [
    ...GRPC.map((_name, index) => framed(index, GET_RUN)),
    ...readExcerpt('v122.fleet-grpc')
      .filter(({ request }) => request.byteLength < 3_000)
      .map(({ request }, index) => framed(index % GRPC.length, request)),
  ],
  open: () => {
    const door = grpcDoor();
    let session: ClientHttp2Session | null = null;
    const sessionNow = (): ClientHttp2Session => {
      if (session === null || session.destroyed || session.closed) {
        session = connectHttp2('http://localhost', { createConnection: () => door.connect() });
        session.on('error', () => {});
      }
      return session;
    };
    const call = (path: string, bytes: Buffer): Promise<{ status: string; message: string }> =>
      new Promise((resolve, reject) => {
        const stream = sessionNow().request({
          ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
        });
        const told = { status: '', message: '' };
        const late = setTimeout(() => reject(new Error('the call does not end')), LONGEST_MS);
        const hear = (headers: Record<string, unknown>): void => {
          if (headers['grpc-status'] !== undefined) told.status = String(headers['grpc-status']);
          if (headers['grpc-message'] !== undefined) told.message = decodeURIComponent(String(headers['grpc-message']));
        };
        stream
          .on('response', hear)
          .on('trailers', hear)
          .on('error', () => {});
        stream.on('close', () => {
          clearTimeout(late);
          resolve(told);
        });
        stream.resume();
        stream.end(bytes);
      });
    return {
      try: async (input) => {
        const name = GRPC[(input[0] ?? 0) % GRPC.length] as string;
        const { status, message } = await call(`/flwr.proto.${name}`, input.subarray(1));
        if (status === '0') return { note: name };
        if (status === '2') throw new Error(`the call ends as UNKNOWN: ${message}`);
        throw new AegisError('REQUEST_MALFORMED', `${name} s${'abcdefghijklmnopq'[Number(status)] ?? 'cut'}`);
      },
      honest: async () => {
        const { status } = await call('/flwr.proto.Control/ListRuns', Buffer.alloc(5));
        if (status !== '0') throw new Error(`an honest call ends with ${status}`);
      },
      close: async () => {
        session?.destroy();
        await door.close();
      },
    };
  },
};

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const h2Frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};
/** :method POST, :scheme http, :path /, by the static table. */
const HEADERS = Buffer.from('838684', 'hex');

export const http2: Target = {
  ...{ name: 'http2', door: 'HTTP/2: frames of a connection', form: 'bytes', keep: PREFACE.byteLength },
  words: [
    '\x00\x00\x00\x04\x01\x00\x00\x00\x00',
    '\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08',
    '\x00\x00\x08\x06\x00\x00\x00\x00\x00',
    '\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff',
  ],
  seeds: () => {
    const settings = h2Frame(4, 0, 0, Buffer.alloc(0));
    const open = h2Frame(1, 4, 1, HEADERS);
    return [
      Buffer.concat([PREFACE, settings, open, h2Frame(0, 1, 1, Buffer.alloc(5))]),
      Buffer.concat([
        PREFACE,
        settings,
        h2Frame(6, 0, 0, Buffer.alloc(8)),
        h2Frame(8, 0, 0, Buffer.from('00010000', 'hex')),
      ]),
      Buffer.concat([
        PREFACE,
        settings,
        open,
        h2Frame(3, 0, 1, Buffer.from('00000008', 'hex')),
        h2Frame(7, 0, 0, Buffer.alloc(8)),
      ]),
      Buffer.concat([PREFACE, settings, h2Frame(1, 0, 1, HEADERS), h2Frame(9, 4, 1, Buffer.from('00', 'hex'))]),
    ];
  },
  open: () => {
    const door = grpcDoor();
    return {
      try: async (input) => {
        const answer = await exchange(door.connect(), input);
        return { note: `${[...framesIn(answer)].slice(0, 4).join(' ')}` };
      },
      close: door.close,
    };
  },
};

function* framesIn(bytes: Buffer): Generator<number> {
  for (let at = 0; at + 9 <= bytes.byteLength; at += 9 + bytes.readUIntBE(at, 3)) yield bytes[at + 3] ?? 0;
}

/** What listens on loopback for the one SuperNode of a guard: the same doors, by the guard's own listener. */
export const guardListener: Target = {
  ...{ name: 'guard-listener', door: "the guard's loopback port", form: 'text', words: http.words ?? [] },
  seeds: () => [
    ...(http.seeds() as Buffer[]),
    Buffer.concat([PREFACE, h2Frame(4, 0, 0, Buffer.alloc(0)), h2Frame(1, 4, 1, HEADERS)]),
  ],
  open: async () => {
    const { listenForSuperNode } = await import('../../../agents/guard/src/api/listener.ts');
    const { connect } = await import('node:net');
    const port = await listenForSuperNode(nobody, silentLogger, { host: '127.0.0.1', port: 0 });
    const over = (input: Buffer) => exchange(connect(port.address.port, '127.0.0.1'), input);
    return {
      try: async (input) => {
        const answer = (await over(input)).toString('latin1');
        const status = /^HTTP\/1\.1 (\d)\d\d/.exec(answer)?.[1] ?? (answer === '' ? 'closed' : 'h2');
        if (answer.startsWith('HTTP/1.1 500')) throw new Error(`the answer is 500: ${answer.slice(0, 300)}`);
        return { note: status };
      },
      honest: async () => {
        const answer = await over(Buffer.from('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'));
        if (!answer.toString('latin1').startsWith('HTTP/1.1 200')) throw new Error('/health does not answer');
      },
      close: () => port.close(),
    };
  },
};
