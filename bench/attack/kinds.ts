import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { SendNodeHeartbeatRequest } from '@aegis/contracts/flwr/proto/heartbeat';
import { http2Frames } from '@aegis/testkit';
import type { Credential, Signer } from '../nodes/signer.ts';

/** One connection of an attacker at a time: opens it, does its worst, and returns when it is over. */
export interface Attack {
  readonly name: string;
  run(attacker: Attacker): Promise<void>;
}

export interface Attacker {
  tcp(): Promise<Socket>;
  tls(protocol: 'h2' | 'http/1.1'): Promise<Socket>;
  /** A key that is nobody's; all attackers share it. */
  readonly signer: Signer;
  /** Of a call that an enrolled node made, and that was answered: its key, timestamp, signature. */
  readonly recorded: { readonly key: Buffer; readonly credential: Credential };
  /** Something was sent. */
  sent(): void;
}

const CHUNK = 5 * 2 ** 20;

/** Resolves with the next event of this name. */
const next = (socket: Socket, event: string): Promise<void> =>
  new Promise((resolve) => socket.once(event, () => resolve()));

interface Forged {
  method: string;
  key: Buffer;
  credential: Credential;
  length: number;
}

const head = ({ method, key, credential, length }: Forged): string =>
  [
    `POST /v1/fleet/${method} HTTP/1.1`,
    'host: x',
    'content-type: application/protobuf',
    `content-length: ${length}`,
    `flwr-public-key: ${key.toString('base64')}`,
    `flwr-timestamp: ${credential.timestamp}`,
    `flwr-signature: ${credential.signature.toString('base64')}`,
    '',
    '',
  ].join('\r\n');

const body = Buffer.from(SendNodeHeartbeatRequest.encode({ node: { nodeId: 7n }, heartbeatInterval: 30 }).finish());

/** Sends calls one after the other, as fast as they are answered. */
const calls = async ({ tls, sent }: Attacker, forge: () => Forged): Promise<void> => {
  const socket = await tls('http/1.1');
  const over = next(socket, 'close');
  while (!socket.destroyed) {
    socket.write(head(forge()));
    socket.write(body);
    sent();
    await Promise.race([next(socket, 'data'), over]);
  }
};

/** Sends something now and then, until the connection ends. */
const drip = async (
  socket: Socket,
  { sent }: Attacker,
  everyMs: number,
  piece: () => Buffer | string,
): Promise<void> => {
  socket.resume();
  while (!socket.destroyed) {
    socket.write(piece());
    sent();
    await sleep(everyMs);
  }
};

/** Sends as much as is taken. */
const pour = async (socket: Socket, { sent }: Attacker, piece: () => Buffer): Promise<void> => {
  const over = next(socket.resume(), 'close');
  while (!socket.destroyed) {
    sent();
    if (!socket.write(piece())) await Promise.race([next(socket, 'drain'), over]);
    else await sleep(1);
  }
};

export const ATTACKS: readonly Attack[] = [
  { name: 'handshakes', run: async ({ tls }) => void (await tls('h2')).destroy() },
  {
    name: 'silent',
    run: async ({ tcp }) => {
      const socket = await tcp();
      await next(socket.resume(), 'close');
    },
  },
  {
    name: 'slow heads',
    run: async (attacker) => {
      const socket = await attacker.tls('http/1.1');
      socket.write('GET /health HTTP/1.1\r\n');
      await drip(socket, attacker, 1_000, () => 'x: y\r\n');
    },
  },
  {
    name: 'slow bodies',
    run: async (attacker) => {
      const { signer, tls } = attacker;
      const socket = await tls('http/1.1');
      const credential = signer.credential();
      socket.write(head({ method: 'push-object', key: signer.publicKeyPem, credential, length: CHUNK }));
      socket.write(Buffer.alloc(16 * 1024));
      await drip(socket, attacker, 1_000, () => Buffer.alloc(1));
    },
  },
  {
    name: 'garbage',
    run: async (attacker) => {
      const socket = await attacker.tcp();
      await drip(socket, attacker, 10, () => randomBytes(2_000));
    },
  },
  {
    name: 'garbage in TLS',
    run: async (attacker) => {
      const socket = await attacker.tls(Math.random() < 0.5 ? 'h2' : 'http/1.1');
      await drip(socket, attacker, 10, () => randomBytes(2_000));
    },
  },
  {
    name: 'forged calls',
    run: (attacker) =>
      calls(attacker, () => {
        const credential = { ...attacker.signer.credential(), signature: attacker.recorded.credential.signature };
        return { method: 'send-node-heartbeat', key: attacker.recorded.key, credential, length: body.byteLength };
      }),
  },
  {
    name: 'replays',
    run: (attacker) =>
      calls(attacker, () => ({ method: 'send-node-heartbeat', ...attacker.recorded, length: body.byteLength })),
  },
  {
    name: 'resets and pings',
    run: async (attacker) => {
      const socket = await attacker.tls('h2');
      socket.write(http2Frames.preface());
      let stream = -1;
      await pour(socket, attacker, () => {
        stream += 2;
        return Buffer.concat([http2Frames.call(stream), http2Frames.reset(stream), http2Frames.ping()]);
      });
    },
  },
  {
    name: 'oversize',
    run: async (attacker) => {
      const { signer, tls } = attacker;
      const socket = await tls('http/1.1');
      const credential = signer.credential();
      socket.write(head({ method: 'push-object', key: signer.publicKeyPem, credential, length: 64 * 2 ** 20 }));
      const piece = Buffer.alloc(64 * 1024);
      await pour(socket, attacker, () => piece);
    },
  },
];
