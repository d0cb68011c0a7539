import { OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import { Metadata, type MethodDefinition } from '@grpc/grpc-js';
import type { Connection } from './connection.ts';
import { GatewayClient } from './gateway-client.ts';

type Requested<M> = M extends { requestDeserialize: (bytes: Buffer) => infer Req } ? Req : never;
type Answered<M> = M extends { responseDeserialize: (bytes: Buffer) => infer Res } ? Res : never;
type Service = typeof OperatorService;
type UnaryName = { [K in keyof Service]: Service[K]['responseStream'] extends true ? never : K }[keyof Service];
type StreamName = Exclude<keyof Service, UnaryName>;

/** A list is at hand: who does not give it soon does not answer at all. */
export const answerWithinMs = (name: string): number => (name.startsWith('list') ? 10_000 : 30_000);

/** The operator's door at the gateway. Errors are those that the server threw, or say that it was not reached. */
export class Operator {
  readonly #client: GatewayClient;
  readonly #metadata = new Metadata();

  /** `signal` ends every call that is under way. */
  constructor(connection: Connection, signal: AbortSignal) {
    this.#client = new GatewayClient(connection, signal);
    if (connection.token !== '') this.#metadata.set('authorization', `Bearer ${connection.token}`);
  }

  call<N extends UnaryName>(
    name: N,
    request: Requested<Service[N]>,
    limits: { timeoutMs?: number } = {},
  ): Promise<Answered<Service[N]>> {
    const method = OperatorService[name] as unknown as MethodDefinition<Requested<Service[N]>, Answered<Service[N]>>;
    const timeoutMs = limits.timeoutMs ?? answerWithinMs(name);
    return this.#client.unary(method, request, { metadata: this.#metadata, timeoutMs });
  }

  stream<N extends StreamName>(name: N, request: Requested<Service[N]>): AsyncGenerator<Answered<Service[N]>> {
    const method = OperatorService[name] as unknown as MethodDefinition<Requested<Service[N]>, Answered<Service[N]>>;
    return this.#client.stream(method, request, this.#metadata);
  }

  close(): void {
    this.#client.close();
  }
}
