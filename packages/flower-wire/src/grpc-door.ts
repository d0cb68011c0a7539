// Flower over gRPC: Fleet for 1.20 to 1.39, Control (Exec in 1.20 and 1.21) for the commands of that time, and the
// adapter that tunnels Fleet messages. Messages stay bytes; no generated codec runs here.

import { MessageContainer } from '@aegis/contracts/flwr/proto/grpcadapter';
import { AegisError } from '@aegis/errors';
import { rawField } from '@aegis/service-kit';
import type {
  MethodDefinition,
  Server,
  ServerOptions,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
} from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import type { ControlService } from './control-service.ts';
import { decodeWith } from './decode.ts';
import { Departure } from './departure.ts';
import { drained } from './drained.ts';
import type { CallHead, FleetService } from './fleet-service.ts';
import { limits } from './limits.ts';
import { flowerStatus, grpcDetails, type StatusOf } from './status.ts';

export interface GrpcDoorOptions {
  fleet: FleetService;
  /** Left out: commands are not served here. */
  control?: ControlService;
  /** Identity of the connection a peer address belongs to (see one-port). Without it every call is its own connection. */
  connectionOf?: (peer: string) => object | undefined;
  onError?: (error: AegisError, where: { path: string; status: number; peer: string }) => void;
  around?: <T>(where: { dialect: 'http' | 'grpc'; api: string; method: string }, run: () => Promise<T>) => Promise<T>;
}

/** Options for the grpc.Server that carries these services. */
export const grpcServerOptions: ServerOptions = {
  'grpc.max_receive_message_length': limits.object + limits.head,
  'grpc.max_send_message_length': -1,
  // A held pull carries nothing for a long time; only pings show that the other side is gone.
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
  // Statistics that nobody here asks for, kept for each call.
  'grpc.enable_channelz': 0,
};

const fleetMethods: Readonly<Record<string, string>> = {
  CreateNode: 'create-node',
  DeleteNode: 'delete-node',
  RegisterNode: 'register-node',
  ActivateNode: 'activate-node',
  DeactivateNode: 'deactivate-node',
  UnregisterNode: 'unregister-node',
  SendNodeHeartbeat: 'send-node-heartbeat',
  PullMessages: 'pull-messages',
  PushMessages: 'push-messages',
  GetRun: 'get-run',
  GetFab: 'get-fab',
  PushObject: 'push-object',
  PullObject: 'pull-object',
  ConfirmMessageReceived: 'confirm-message-received',
};

const execMethods: Readonly<Record<string, string>> = {
  StartRun: 'start-run',
  StopRun: 'stop-run',
  ListRuns: 'list-runs',
  GetLoginDetails: 'get-login-details',
  GetAuthTokens: 'get-auth-tokens',
};

const controlMethods: Readonly<Record<string, string>> = {
  ...execMethods,
  ListNodes: 'list-nodes',
  RegisterNode: 'register-node',
  UnregisterNode: 'unregister-node',
  ListFederations: 'list-federations',
  ShowFederation: 'show-federation',
  PullArtifacts: 'pull-artifacts',
};

/** What travels through the adapter is named by its request type. */
const adapterRequests: ReadonlyMap<string, { method: string; response: string }> = new Map(
  Object.entries(fleetMethods).map(([rpc, method]) => {
    const stem = rpc === 'RegisterNode' || rpc === 'UnregisterNode' ? `${rpc}Fleet` : rpc;
    return [`${stem}Request`, { method, response: `${stem}Response` }];
  }),
);

type Unary = (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void;
type Streaming = (call: ServerWritableStream<Buffer, Buffer>) => void;

/** Adds Fleet, GrpcAdapter and, when there is one, Control and Exec to `server` (made with `grpcServerOptions`). */
export function addFlowerServices(server: Server, options: GrpcDoorOptions): void {
  const { fleet, control } = options;
  const caller = new Caller(options);
  addService(server, 'Fleet', fleetMethods, (method) =>
    caller.unary('fleet', method, async (call, head) => joined(await fleet.call(method, call.request, head))),
  );
  addService(server, 'GrpcAdapter', { SendReceive: 'adapter' }, () => adapter(caller, fleet));
  if (control === undefined) return;
  const controlUnary = (method: string): Unary =>
    caller.unary('control', method, async (call, head) => {
      const answer = await control.call(method, call.request, head);
      if (answer.kind === 'message') return Buffer.from(answer.bytes);
      throw new AegisError('INTERNAL', `${method} streams.`);
    });
  const streamLogs = caller.streaming('control', 'stream-logs', (call, head) =>
    control.call('stream-logs', call.request, head),
  );

  addService(server, 'Control', controlMethods, controlUnary, { StreamLogs: streamLogs });
  addService(server, 'Exec', execMethods, controlUnary, { StreamLogs: streamLogs });
}

const joined = (pieces: readonly Uint8Array[]): Buffer =>
  pieces.length === 1 && Buffer.isBuffer(pieces[0]) ? pieces[0] : Buffer.concat(pieces);

/** One Fleet call inside a MessageContainer. Errors are gRPC statuses of the tunnel itself, as the reference does it. */
function adapter(caller: Caller, fleet: FleetService): Unary {
  return (call, answer) => {
    let inner: { method: string; response: string } | undefined;
    let version = '';
    let body: Buffer;
    let cause: unknown;
    try {
      const split = rawField.split(call.request, 3);
      if (split.head.byteLength > limits.head) throw new AegisError('BODY_TOO_LARGE');
      const container = decodeWith(MessageContainer, split.head, 'MessageContainer');
      inner = adapterRequests.get(container.grpcMessageName);
      version = container.metadata['flower-package-version'] ?? '';
      body = split.body;
    } catch (caught) {
      cause = caught;
    }
    const method = inner?.method ?? 'adapter';
    const serve = caller.unary(
      'fleet',
      method,
      async (_call, head) => {
        if (cause !== undefined) throw cause;
        if (inner === undefined) throw new AegisError('METHOD_UNKNOWN', 'The container names no Fleet message.');
        const content = joined(await fleet.call(inner.method, body, head));
        const container = MessageContainer.encode({
          metadata: { 'grpc-message-qualname': inner.response },
          grpcMessageName: inner.response,
          grpcMessageContent: Buffer.alloc(0),
        }).finish();
        return rawField.join(container, 3, content);
      },
      version,
    );
    serve(call, answer);
  };
}

/** Turns a promise into an answer, and a caller that leaves into an aborted signal. */
class Caller {
  readonly #options: GrpcDoorOptions;

  constructor(options: GrpcDoorOptions) {
    this.#options = options;
  }

  unary(
    api: StatusOf['api'],
    method: string,
    run: (call: ServerUnaryCall<Buffer, Buffer>, head: CallHead) => Promise<Buffer>,
    tunnelledVersion = '',
  ): Unary {
    return (call, answer) => {
      const head = this.#headOf(call, tunnelledVersion);
      this.#around(api, method, () => run(call, head)).then(
        (bytes) => answer(null, bytes),
        (caught: unknown) => answer(this.#refusal(caught, { api, method, flwrVersion: versionOf(head) }, head)),
      );
    };
  }

  streaming(
    api: StatusOf['api'],
    method: string,
    run: (call: ServerWritableStream<Buffer, Buffer>, head: CallHead) => ReturnType<ControlService['call']>,
  ): Streaming {
    return (call) => {
      const head = this.#headOf(call, '');
      const serve = async (): Promise<void> => {
        const answer = await run(call, head);
        if (answer.kind === 'message') return void call.write(Buffer.from(answer.bytes));
        for await (const message of answer.messages) {
          if (head.departure.hasLeft) return;
          if (!call.write(Buffer.from(message))) await drained(call, head.signal);
        }
      };
      this.#around(api, method, serve).then(
        () => call.end(),
        (caught: unknown) => {
          if (head.departure.hasLeft) call.end();
          else call.emit('error', this.#refusal(caught, { api, method, flwrVersion: versionOf(head) }, head));
        },
      );
    };
  }

  #around<T>(api: string, method: string, run: () => Promise<T>): Promise<T> {
    return this.#options.around?.({ dialect: 'grpc', api, method }, run) ?? run();
  }

  #headOf(
    call: ServerUnaryCall<Buffer, Buffer> | ServerWritableStream<Buffer, Buffer>,
    tunnelledVersion: string,
  ): GrpcHead {
    const peer = call.getPeer();
    const departure = new Departure();
    call.on('cancelled', () => departure.leave());
    const connection = this.#options.connectionOf?.(peer) ?? call;
    return new GrpcHead(call, connection, peer, departure, tunnelledVersion);
  }

  #refusal(caught: unknown, where: StatusOf, head: GrpcHead): { code: number; details: string } {
    const { grpc, http } = flowerStatus(caught, where);
    const path = `${where.api}/${where.method}`;
    // A caller that left caused no failure, and nobody reads this answer.
    if (!head.departure.hasLeft)
      this.#options.onError?.(AegisError.from(caught), { path, status: http, peer: head.peer });
    return { code: grpc, details: grpcDetails(caught, where) };
  }
}

class GrpcHead implements CallHead {
  readonly dialect = 'grpc';
  readonly connection: object;
  readonly departure: Departure;
  readonly #call: Pick<ServerUnaryCall<Buffer, Buffer>, 'metadata' | 'sendMetadata'>;
  readonly #addressAndPort: string;
  readonly #tunnelledVersion: string;

  constructor(
    call: Pick<ServerUnaryCall<Buffer, Buffer>, 'metadata' | 'sendMetadata'>,
    connection: object,
    addressAndPort: string,
    departure: Departure,
    tunnelledVersion: string,
  ) {
    this.#call = call;
    this.connection = connection;
    this.#addressAndPort = addressAndPort;
    this.departure = departure;
    this.#tunnelledVersion = tunnelledVersion;
  }

  get signal(): AbortSignal {
    return this.departure.signal;
  }

  /** The address in "address:port", as gRPC names a peer; "" for what has no port, such as "unknown". */
  get peer(): string {
    return /^(.+):\d{1,5}$/.exec(this.#addressAndPort)?.[1] ?? '';
  }

  text(name: string): string {
    return textOf(this.#call.metadata, name) || (name === 'flwr-package-version' ? this.#tunnelledVersion : '');
  }

  binary(name: string): Buffer | null {
    const value = this.#call.metadata.get(`${name}-bin`)[0];
    return Buffer.isBuffer(value) ? value : null;
  }

  reply(head: Readonly<Record<string, string>>): void {
    this.#call.sendMetadata(Metadata.fromHttp2Headers(head));
  }
}

const versionOf = (head: CallHead): string => head.text('flwr-package-version');

const textOf = (metadata: Metadata, name: string): string => {
  const value = metadata.get(name)[0];
  return typeof value === 'string' ? value : '';
};

function addService(
  server: Server,
  name: string,
  unary: Readonly<Record<string, string>>,
  handlerOf: (method: string) => Unary,
  streams: Readonly<Record<string, Streaming>> = {},
): void {
  const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
  const handlers: Record<string, Unary | Streaming> = {};
  for (const [rpc, method] of Object.entries(unary)) {
    definition[rpc] = rawMethod(`/flwr.proto.${name}/${rpc}`, false);
    handlers[rpc] = handlerOf(method);
  }
  for (const [rpc, handler] of Object.entries(streams)) {
    definition[rpc] = rawMethod(`/flwr.proto.${name}/${rpc}`, true);
    handlers[rpc] = handler;
  }
  server.addService(definition as ServiceDefinition, handlers);
}

const same = (bytes: Buffer): Buffer => bytes;
const rawMethod = (path: string, responseStream: boolean): MethodDefinition<Buffer, Buffer> => ({
  path,
  requestStream: false,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});
