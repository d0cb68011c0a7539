import { OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import { fromGrpcStatus } from '@aegis/service-kit';
import { type Client, Metadata, type MethodDefinition } from '@grpc/grpc-js';
import { openClient, type Target } from './wire-client.ts';

type Service = typeof OperatorService;
type Requested<M> = M extends { requestDeserialize: (bytes: Buffer) => infer Req } ? Req : never;
type Answered<M> = M extends { responseDeserialize: (bytes: Buffer) => infer Res } ? Res : never;

/** Whoever holds the operator's token. Unary calls only. */
export class Operator {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  constructor(target: Target, token: string) {
    this.#client = openClient(target);
    this.#metadata.set('authorization', `Bearer ${token}`);
  }

  call<N extends keyof Service>(name: N, request: Requested<Service[N]>): Promise<Answered<Service[N]>> {
    const method = OperatorService[name] as unknown as MethodDefinition<Requested<Service[N]>, Answered<Service[N]>>;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        ...([method.path, method.requestSerialize, method.responseDeserialize, request, this.#metadata] as const),
        (error, answer) => (error || answer === undefined ? reject(fromGrpcStatus(error as never)) : resolve(answer)),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}
