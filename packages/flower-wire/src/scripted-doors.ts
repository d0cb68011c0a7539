// Both doors on one real port, with scripted handlers behind them, and a small client for each wire. For tests.

import { generateKeyPairSync, sign } from 'node:crypto';
import { createServer, Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { MessageContainer } from '@aegis/contracts/flwr/proto/grpcadapter';
import type { AegisError } from '@aegis/errors';
import { createCa, issueLeaf } from '@aegis/service-kit';
import { ChannelCredentials, Client, Metadata, Server, type ServiceError } from '@grpc/grpc-js';
import { ControlService } from './control-service.ts';
import { FleetService } from './fleet-service.ts';
import { addFlowerServices, grpcServerOptions } from './grpc-door.ts';
import { createHttpDoor } from './http-door.ts';
import { isoTime } from './node-auth.ts';
import { listenOnePort, type OnePort, type OnePortOptions } from './one-port.ts';
import { type ModelLayout, type ReadModel, type RenderedMessage, renderTask } from './render-task.ts';
import { ScriptedControl, type ScriptedFleet } from './scripted-handlers.ts';

export const NODE_ID = 2n ** 64n - 3n;
export const RUN_ID = 2n ** 63n + 11n;

export interface ScriptedDoors {
  port: OnePort;
  fleet: ScriptedFleet;
  control: ScriptedControl;
  errors: { error: AegisError; where: { path: string; status: number; peer: string } }[];
  /** PEM of the authority, with TLS. */
  ca: string | undefined;
  close(): Promise<void>;
}

export interface ScriptedDoorsOptions {
  tls?: boolean;
  port?: number;
  fleet: ScriptedFleet;
  limits?: OnePortOptions['limits'];
  onRefused?: OnePortOptions['onRefused'];
}

export async function startDoors(options: ScriptedDoorsOptions): Promise<ScriptedDoors> {
  const control = new ScriptedControl();
  const errors: ScriptedDoors['errors'] = [];
  const services = {
    fleet: new FleetService(options.fleet),
    control: new ControlService(control, { now: Date.now }),
    onError: (error: AegisError, where: ScriptedDoors['errors'][number]['where']) => errors.push({ error, where }),
  };
  const door = createHttpDoor(services);
  const http = createServer((request, response) => {
    if (!door.handle(request, response)) response.writeHead(404).end();
  });
  const grpc = new Server(grpcServerOptions);
  let port: OnePort | undefined;
  addFlowerServices(grpc, { ...services, connectionOf: (peer) => port?.connectionOf(peer) });
  const pki = options.tls ? await devCertificates() : undefined;
  port = await listenOnePort({
    host: '127.0.0.1',
    port: options.port ?? 0,
    tls: pki?.leaf ?? null,
    http,
    grpc,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.onRefused === undefined ? {} : { onRefused: options.onRefused }),
  });
  return { port, fleet: options.fleet, control, errors, ca: pki?.ca, close: () => port.close() };
}

async function devCertificates() {
  const ca = await createCa('test', Date.now());
  const leaf = await issueLeaf(ca, { name: 'localhost', hosts: ['localhost', '127.0.0.1'] }, Date.now());
  return { ca: ca.certPem, leaf: { cert: leaf.certPem, key: leaf.keyPem } };
}

/** A model of two tensors and one train task from it. */
export async function scriptedTask(overrides: { nodeId?: bigint; createdAt?: number } = {}): Promise<{
  message: RenderedMessage;
  read: ReadModel;
}> {
  const tensors = [
    { name: 'w', dtype: '<f4', shape: [3], npy: npyOfZeros('(3,)', 12) },
    { name: 'b', dtype: '<f4', shape: [], npy: npyOfZeros('()', 4) },
  ];
  const body = Buffer.concat(tensors.map(({ npy }) => npy));
  const model: ModelLayout = {
    modelId: 'scripted',
    tensors: tensors.map(({ name, dtype, shape, npy }, index) => ({
      name,
      dtype,
      shape,
      offset: index === 0 ? 0 : (tensors[0]?.npy.length ?? 0),
      length: npy.length,
    })),
  };
  const read: ReadModel = async (offset, length) => body.subarray(offset, offset + length);
  const message = await renderTask(
    {
      runId: RUN_ID,
      kind: 'train',
      nodeId: overrides.nodeId ?? NODE_ID,
      config: [{ key: 'lr', value: { kind: 'real', value: 0.1 } }],
      layout: {
        dialect: 'message',
        arrayRecordKey: 'arrays',
        configRecordKey: 'config',
        weightedByKey: 'num-examples',
      },
      createdAt: overrides.createdAt ?? Date.now() / 1000,
      ttl: 600,
      groupId: '',
    },
    model,
    read,
  );
  return { message, read };
}

function npyOfZeros(shape: string, bytes: number): Buffer {
  const header = Buffer.alloc(128, ' ');
  header.write('\x93NUMPY\x01\x00', 0, 'latin1');
  header.writeUInt16LE(118, 8);
  header.write(`{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, }`, 10, 'latin1');
  header[127] = 0x0a;
  return Buffer.concat([header, Buffer.alloc(bytes)]);
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** A node key that signs as a stock node does. */
export class NodeKey {
  readonly #keys = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  readonly pem = Buffer.from(this.#keys.publicKey.export({ type: 'spki', format: 'pem' }) as string);

  sign(nowMs: number): { timestamp: string; signature: Buffer } {
    const timestamp = isoTime(nowMs / 1000);
    return { timestamp, signature: sign('sha256', Buffer.from(timestamp), this.#keys.privateKey) };
  }
}

export const nodeKey = new NodeKey();

/** Speaks to the HTTP door over kept-alive connections. */
export class HttpClient {
  readonly #agent: HttpAgent;
  readonly #doors: ScriptedDoors;

  constructor(doors: ScriptedDoors) {
    this.#doors = doors;
    const options = { keepAlive: true, maxSockets: 4 };
    this.#agent = doors.ca === undefined ? new HttpAgent(options) : new HttpsAgent({ ...options, ca: doors.ca });
  }

  headers(): Record<string, string> {
    const { timestamp, signature } = nodeKey.sign(Date.now());
    return {
      'content-type': 'application/protobuf',
      'flwr-public-key': nodeKey.pem.toString('base64'),
      'flwr-timestamp': timestamp,
      'flwr-signature': signature.toString('base64'),
      'flwr-package-version': '1.41.0',
    };
  }

  send(
    path: string,
    body: Uint8Array,
    headers = this.headers(),
    method = 'POST',
    signal?: AbortSignal,
  ): Promise<Reply> {
    const { host, port } = this.#doors.port.address;
    const start = this.#doors.ca === undefined ? httpRequest : httpsRequest;
    return new Promise((resolve, reject) => {
      const options = { host, port, path, method, headers, agent: this.#agent, ...(signal && { signal }) };
      const request = start(options, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
        );
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  async call(method: string, body: Uint8Array): Promise<Buffer> {
    const reply = await this.send(`/v1/fleet/${method}`, body);
    if (reply.status !== 200) throw new Error(`${reply.status} ${reply.body}`);
    return reply.body;
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Speaks to the gRPC door; `adapter` = through GrpcAdapter. */
export class GrpcClient {
  readonly client: Client;
  readonly #adapter: boolean;

  constructor(doors: ScriptedDoors, adapter = false) {
    const { host, port } = doors.port.address;
    const credentials =
      doors.ca === undefined
        ? ChannelCredentials.createInsecure()
        : ChannelCredentials.createSsl(Buffer.from(doors.ca));
    this.client = new Client(`${host}:${port}`, credentials, { 'grpc.use_local_subchannel_pool': 1 });
    this.#adapter = adapter;
  }

  metadata(version = '1.39.0'): Metadata {
    const { timestamp, signature } = nodeKey.sign(Date.now());
    const metadata = new Metadata();
    metadata.set('flwr-public-key-bin', nodeKey.pem);
    metadata.set('flwr-signature-bin', signature);
    metadata.set('flwr-timestamp', timestamp);
    if (version !== '') metadata.set('flwr-package-version', version);
    return metadata;
  }

  unary(path: string, body: Uint8Array, metadata = this.metadata(), signal?: AbortSignal): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const same = (bytes: Buffer): Buffer => bytes;
      const call = this.client.makeUnaryRequest(
        path,
        same,
        same,
        Buffer.from(body),
        metadata,
        (error: ServiceError | null, value?: Buffer) => (error ? reject(error) : resolve(value ?? Buffer.alloc(0))),
      );
      signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });
  }

  async call(method: string, body: Uint8Array): Promise<Buffer> {
    const rpc = method.replace(/(^|-)([a-z])/g, (_all, _dash, letter: string) => letter.toUpperCase());
    if (!this.#adapter) return this.unary(`/flwr.proto.Fleet/${rpc}`, body);
    const container = MessageContainer.encode({
      metadata: { 'flower-package-version': '1.32.1' },
      grpcMessageName: `${rpc}${/^(un)?register/.test(method) ? 'Fleet' : ''}Request`,
      grpcMessageContent: Buffer.from(body),
    }).finish();
    const answer = await this.unary('/flwr.proto.GrpcAdapter/SendReceive', container, this.metadata(''));
    return MessageContainer.decode(answer).grpcMessageContent;
  }

  close(): void {
    this.client.close();
  }
}
