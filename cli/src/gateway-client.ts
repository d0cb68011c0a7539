import { AegisError } from '@aegis/errors';
import { fromGrpcStatus } from '@aegis/service-kit';
import { Client, credentials, type Metadata, type MethodDefinition, type ServiceError, status } from '@grpc/grpc-js';
import { CommandError } from './command-error.ts';
import { type Connection, formatAddress } from './connection.ts';
import { ExitCode } from './exit-codes.ts';

const mostBytes = 2 ** 31 - 1;

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\./.test(host);

/** gRPC calls of a gateway. Errors are those that the server threw, or say that it was not reached. */
export class GatewayClient {
  readonly #client: Client;
  readonly #address: string;
  readonly #signal: AbortSignal;

  /** `signal` ends every call that is under way. */
  constructor(connection: Connection, signal: AbortSignal) {
    this.#signal = signal;
    this.#address = formatAddress(connection);
    const security = connection.insecure
      ? credentials.createInsecure()
      : credentials.createSsl(connection.ca === undefined ? null : Buffer.from(connection.ca));
    this.#client = new Client(this.#address, security, {
      'grpc.max_receive_message_length': mostBytes,
      'grpc.max_send_message_length': mostBytes,
      // A proxy of the environment is for other machines.
      'grpc.enable_http_proxy': isLoopback(connection.host) ? 0 : 1,
    });
  }

  unary<Req, Res>(
    method: MethodDefinition<Req, Res>,
    request: Req,
    { metadata, timeoutMs }: { metadata: Metadata; timeoutMs: number },
  ): Promise<Res> {
    this.#signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Res>();
    const call = this.#client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      { deadline: Date.now() + timeoutMs },
      (error, answer) => {
        if (error === null && answer !== undefined) resolve(answer);
        else reject(this.#failure(error, timeoutMs));
      },
    );
    return this.#cancellable(call, promise);
  }

  async *stream<Req, Res>(method: MethodDefinition<Req, Res>, request: Req, metadata: Metadata): AsyncGenerator<Res> {
    this.#signal.throwIfAborted();
    const call = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
    );
    const cancel = () => call.cancel();
    this.#signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const answer of call) yield answer as Res;
    } catch (error) {
      this.#signal.throwIfAborted();
      throw this.#failure(error as ServiceError);
    } finally {
      this.#signal.removeEventListener('abort', cancel);
      call.cancel();
    }
  }

  async #cancellable<T>(call: { cancel(): void }, answer: Promise<T>): Promise<T> {
    const cancel = () => call.cancel();
    this.#signal.addEventListener('abort', cancel, { once: true });
    try {
      return await answer;
    } catch (error) {
      this.#signal.throwIfAborted();
      throw error;
    } finally {
      this.#signal.removeEventListener('abort', cancel);
    }
  }

  close(): void {
    this.#client.close();
  }

  #failure(error: ServiceError | null, timeoutMs?: number): Error {
    if (error === null) return new AegisError('INTERNAL', 'The server sent no answer.');
    const known = fromGrpcStatus(error);
    // Without our trailer it was not our server that spoke, but the way to it.
    if (error.code === status.UNAVAILABLE && known.cause === error) {
      const why = error.details
        .replace(/^No connection established\. Last error: /, '')
        .replace(/\. Resolution note:.*$/s, '');
      return new CommandError('UNREACHABLE', `${this.#address} cannot be reached: ${why}`, {
        todo: `Is the suite up? \`aegis doctor ${this.#address}\` names the step that fails.`,
        exitCode: ExitCode.unreachable,
        cause: error,
      });
    }
    if (error.code === status.DEADLINE_EXCEEDED && known.cause === error && timeoutMs !== undefined) {
      return new CommandError('NO_ANSWER', `${this.#address} did not answer within ${timeoutMs / 1000} s.`, {
        todo: `\`aegis doctor ${this.#address}\` names the step that fails; look at the log of the suite.`,
        exitCode: ExitCode.unreachable,
        cause: error,
      });
    }
    return known;
  }
}
