import { createHash } from 'node:crypto';
import {
  type ClientFrame,
  ClientFrame as ClientFrameCodec,
  type ServerFrame,
  ServerFrame as ServerFrameCodec,
  type TaskOffer,
} from '@aegis/contracts/aegis/node/v1/node';
import { fromGrpcStatus, rawField } from '@aegis/service-kit';
import type { Client, ClientDuplexStream, ServiceError, StatusObject } from '@grpc/grpc-js';
import { NodeKey } from './node-key.ts';
import { openClient, type Target } from './wire-client.ts';

export type Said = NonNullable<ServerFrame['frame']>;
export type ToSay = NonNullable<ClientFrame['frame']>;
type Case = Said['$case'];
type ValueOf<C extends Case> = Extract<Said, { $case: C }>['value'];

export const partIdOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
const same = (bytes: Buffer): Buffer => bytes;

/** One stream of aegis.node.v1 as a test drives it: says what it is told to, and remembers what it hears. */
export class NativeStream {
  readonly heard: { frame: Said; content: Buffer }[] = [];
  /** How the server ended the call. */
  readonly ended: Promise<StatusObject>;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #client: Client;
  readonly #waiting = new Set<() => void>();
  readonly #taken = new Set<object>();

  constructor(target: Target) {
    this.#client = openClient(target);
    this.#call = this.#client.makeBidiStreamRequest('/aegis.node.v1.Node/Connect', same, same);
    this.ended = new Promise((resolve) => this.#call.once('status', resolve));
    this.#call.on('error', () => {});
    this.#call.on('data', (bytes: Buffer) => {
      const { head, body } = rawField.split(bytes, 15);
      const { frame } = ServerFrameCodec.decode(head);
      if (frame) this.heard.push({ frame, content: Buffer.from(body) });
      for (const wake of this.#waiting) wake();
    });
    void this.ended.then(() => {
      for (const wake of this.#waiting) wake();
    });
  }

  say(frame: ToSay, content?: Buffer): boolean {
    const head = Buffer.from(ClientFrameCodec.encode({ frame, content: Buffer.alloc(0) }).finish());
    return this.sayBytes(content ? rawField.join(head, 15, content) : head);
  }

  sayBytes(bytes: Buffer): boolean {
    return this.#call.write(bytes);
  }

  /** The next frame of this kind that nobody has taken yet. */
  async next<C extends Case>($case: C): Promise<ValueOf<C>> {
    return (await this.nextFrame($case)).value as ValueOf<C>;
  }

  /** The same for the answer to a request: a refusal of it is thrown. */
  async answer<C extends Case>($case: C): Promise<{ value: ValueOf<C>; content: Buffer }> {
    const { frame, content } = await this.#nextOf([$case, 'refusal']);
    if (frame.$case === 'refusal') throw new Error(`${frame.value.code}: ${frame.value.detail}`);
    return { value: frame.value as ValueOf<C>, content };
  }

  async nextFrame($case: Case): Promise<{ value: unknown; content: Buffer }> {
    const { frame, content } = await this.#nextOf([$case]);
    return { value: frame.value, content };
  }

  async #nextOf(cases: readonly Case[]): Promise<{ frame: Said; content: Buffer }> {
    let over = false;
    void this.ended.then(() => {
      over = true;
    });
    for (;;) {
      const found = this.heard.find((item) => cases.includes(item.frame.$case) && !this.#taken.has(item));
      if (found) {
        this.#taken.add(found);
        return found;
      }
      if (over) throw new Error(`The stream ended without "${cases[0]}": ${JSON.stringify(await this.ended)}`);
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  /** The code of the error that ended the stream; '' when it ended well. */
  async code(): Promise<string> {
    const status = await this.ended;
    return status.code === 0 ? '' : fromGrpcStatus(status as ServiceError).code;
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  endOfRequest(): void {
    this.#call.end();
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }
}

/** A native client of one key, over as many streams as the test opens. */
export class NativeNode {
  readonly key: NodeKey;
  readonly canMask: boolean;
  readonly invitation: string;
  readonly #target: Target;
  readonly #streams: NativeStream[] = [];

  constructor(target: Target, key = new NodeKey('prime256v1'), { canMask = false, invitation = '' } = {}) {
    this.#target = target;
    this.key = key;
    this.canMask = canMask;
    this.invitation = invitation;
  }

  open(target = this.#target): NativeStream {
    const stream = new NativeStream(target);
    this.#streams.push(stream);
    return stream;
  }

  /** A stream that was welcomed, and the node's id. */
  async connect(target = this.#target): Promise<{ stream: NativeStream; nodeId: bigint }> {
    const stream = this.open(target);
    stream.say(await this.hello(stream));
    const { nodeId } = await stream.next('welcome');
    return { stream, nodeId };
  }

  async hello(stream: NativeStream): Promise<Extract<ToSay, { $case: 'hello' }>> {
    const { nonce } = await stream.next('challenge');
    const signature = this.key.signBytes(Buffer.concat([Buffer.from('aegis.node.v1 hello\n'), nonce]));
    return {
      $case: 'hello',
      value: {
        protocol: 1,
        client: 'test/1',
        publicKey: this.key.publicKeyPem,
        signature,
        runsApps: false,
        canMask: this.canMask,
        invitation: this.invitation,
      },
    };
  }

  close(): void {
    for (const stream of this.#streams) stream.close();
  }
}

export interface Answer {
  /** Of each tensor: the .npy file, cut into parts of at most this many bytes. */
  readonly tensors: Record<string, Buffer>;
  readonly metrics?: Extract<ToSay, { $case: 'submit' }>['value']['metrics'];
  readonly partBytes?: number;
}

/** An answer as it goes over the wire. */
export const cutAnswer = (taskId: string, { tensors, metrics = [], partBytes = 2 ** 20 }: Answer) => {
  const parts = new Map<string, Buffer>();
  const named = Object.entries(tensors).map(([name, npy]) => {
    const slices: { partId: string; offset: bigint; length: bigint }[] = [];
    for (let at = 0; at < npy.length; at += partBytes) {
      const content = npy.subarray(at, at + partBytes);
      const partId = partIdOf(content);
      parts.set(partId, content);
      slices.push({ partId, offset: 0n, length: BigInt(content.length) });
    }
    return { name, slices };
  });
  const submit: Extract<ToSay, { $case: 'submit' }> = {
    $case: 'submit',
    value: { taskId, tensors: named, metrics, runtimeSeconds: 0.5, masked: [] },
  };
  return { parts, submit };
};

export const weightOf = (examples: number) => ({
  key: 'num-examples',
  value: { value: { $case: 'integer' as const, value: BigInt(examples) } },
});

/** The whole model of an offer, read in pieces. */
export const readModel = async (stream: NativeStream, { taskId, model }: TaskOffer): Promise<Buffer> => {
  const length = model?.bytes ?? 0n;
  stream.say({ $case: 'readModel', value: { requestId: 1n, taskId, offset: 0n, length } });
  const body = Buffer.alloc(Number(length));
  for (let got = 0; got < body.length; ) {
    const { value, content } = await stream.answer('modelBytes');
    content.copy(body, Number(value.offset));
    got += content.length;
  }
  return body;
};
