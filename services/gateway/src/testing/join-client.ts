import { ClientMessage, ServerMessage } from '@aegis/contracts/flwr/proto/transport';
import type { Client, ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import { openClient, type Target } from './wire-client.ts';

type Instruction = NonNullable<ServerMessage['msg']>;
type Reply = NonNullable<ClientMessage['msg']>;

/** What start_client does on the wire: one stream, one message at a time. */
export class JoinClient {
  readonly ended: Promise<StatusObject>;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #heard: Instruction[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(target: Target) {
    this.#client = openClient(target);
    const same = (bytes: Buffer): Buffer => bytes;
    this.#call = this.#client.makeBidiStreamRequest('/flwr.proto.FlowerService/Join', same, same);
    this.ended = new Promise((resolve) => this.#call.once('status', resolve));
    this.#call.on('error', () => {});
    const wake = (): void => {
      for (const waiter of this.#waiting.splice(0)) waiter();
    };
    this.#call.on('data', (bytes: Buffer) => {
      const { msg } = ServerMessage.decode(bytes);
      if (msg) this.#heard.push(msg);
      wake();
    });
    void this.ended.then(wake);
  }

  async next(): Promise<Instruction> {
    let over = false;
    void this.ended.then(() => {
      over = true;
    });
    for (;;) {
      const instruction = this.#heard.shift();
      if (instruction) return instruction;
      if (over) throw new Error(`The stream ended: ${JSON.stringify(await this.ended)}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  answer(msg: Reply): void {
    this.#call.write(Buffer.from(ClientMessage.encode({ msg }).finish()));
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }
}
