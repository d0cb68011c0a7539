import { sign } from 'node:crypto';
import type { Welcome } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError, isErrorCode } from '@aegis/errors';
import { type Clock, fromGrpcStatus } from '@aegis/service-kit';
import type { Client, ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import { CONNECT_PATH, type Heard, readFrame, type Said, type ToSay, writeFrame } from './messages.ts';

export interface Identity {
  /** SPKI, PEM. */
  readonly publicKeyPem: Buffer;
  readonly privateKeyPem: Buffer;
  /** For people at the server: name/version. */
  readonly client: string;
  /** Takes part in secure aggregation. */
  readonly canMask: boolean;
}

type Case = Said['$case'];
export type ValueOf<C extends Case> = Extract<Said, { $case: C }>['value'];

interface Waiting {
  readonly resolve: (heard: Heard) => void;
  readonly reject: (error: AegisError) => void;
}

interface Series {
  readonly take: (heard: Heard) => void;
  readonly fail: (error: AegisError) => void;
}

const HELLO = Buffer.from('aegis.node.v1 hello\n');
const OPENING_MS = 20_000;
const ANSWER_MS = 120_000;
const same = (bytes: Buffer): Buffer => bytes;

/**
 * One stream of aegis.node.v1 from Challenge to its end. Requests are matched with what answers them; everything else the
 * server says goes to `onNews`.
 */
export class NodeStream {
  /** How it ended; never rejects. */
  readonly ended: Promise<AegisError>;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #clock: Clock;
  readonly #onNews: (heard: Heard) => void;
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #series = new Map<string, Series>();
  #over: AegisError | null = null;
  #drained: PromiseWithResolvers<void> | null = null;
  #beat: { cancel(): void } | null = null;

  constructor(client: Client, clock: Clock, onNews: (heard: Heard) => void) {
    this.#clock = clock;
    this.#onNews = onNews;
    this.#call = client.makeBidiStreamRequest(CONNECT_PATH, same, same);
    const { promise, resolve } = Promise.withResolvers<AegisError>();
    this.ended = promise;
    this.#call.on('error', () => {});
    this.#call.on('drain', () => this.#drained?.resolve());
    this.#call.on('data', (bytes: Buffer) => this.#take(bytes));
    this.#call.once('status', (status: StatusObject) => {
      this.#end(
        status.code === 0 ? new AegisError('UNAVAILABLE', 'The server closed the stream.') : fromGrpcStatus(status),
      );
      resolve(this.#over ?? new AegisError('UNAVAILABLE'));
    });
  }

  /** Says who we are, and is welcomed. */
  async open({ publicKeyPem, privateKeyPem, client, canMask }: Identity): Promise<Welcome> {
    const { said: challenge } = await this.#answer('challenge', OPENING_MS);
    const { nonce } = challenge.value as ValueOf<'challenge'>;
    const signature = sign('sha256', Buffer.concat([HELLO, nonce]), privateKeyPem);
    this.say({
      $case: 'hello',
      value: { protocol: 1, client, publicKey: publicKeyPem, signature, runsApps: true, canMask, invitation: '' },
    });
    const { said } = await this.#answer('welcome', OPENING_MS);
    const welcome = said.value as Welcome;
    this.#keepAlive((welcome.heartbeatSeconds * 1000) / 2);
    return welcome;
  }

  /** Best effort: what is said into a stream that is over is lost. */
  say(frame: ToSay, content?: Buffer): boolean {
    return this.#over === null && this.#call.write(writeFrame(frame, content));
  }

  /** Says it, and waits for the frame that answers it: UNAVAILABLE when the stream ends first, or a Refusal's code. */
  async ask(frame: ToSay, answer: string, content?: Buffer): Promise<Heard> {
    const heard = this.#answer(answer, ANSWER_MS);
    // It may be refused while the frame still waits for room.
    heard.catch(() => {});
    if (!this.say(frame, content) && content && this.#over === null) {
      this.#drained ??= Promise.withResolvers();
      await Promise.race([this.#drained.promise, this.ended]);
      this.#drained = null;
    }
    return heard;
  }

  /** Says it, and waits for its answer as long as the stream lives: the server has it when others have done their part. */
  async askPatiently(frame: ToSay, answer: string): Promise<Heard> {
    const heard = this.#answer(answer, null);
    this.say(frame);
    return heard;
  }

  /** The frames that answer one request, as many as the caller takes. */
  async *asked(frame: ToSay, answer: string): AsyncGenerator<Heard> {
    const arrived: Heard[] = [];
    let more = Promise.withResolvers<void>();
    const series = (heard: Heard): void => {
      arrived.push(heard);
      more.resolve();
    };
    this.#series.set(answer, { take: series, fail: (error) => more.reject(error) });
    try {
      this.say(frame);
      if (this.#over) throw lost(this.#over);
      for (;;) {
        const stuck = this.#clock.schedule(ANSWER_MS, () => this.close());
        await more.promise.finally(() => stuck.cancel());
        more = Promise.withResolvers();
        more.promise.catch(() => {});
        yield* arrived.splice(0);
      }
    } finally {
      this.#series.delete(answer);
    }
  }

  close(): void {
    this.#end(new AegisError('UNAVAILABLE', 'The stream was closed.'));
    this.#call.cancel();
  }

  /** Says goodbye: no round waits for this node from now on. */
  async leave(): Promise<void> {
    this.say({ $case: 'leave', value: {} });
    this.#call.end();
    await Promise.race([this.ended, this.#clock.sleep(1_000)]);
    this.close();
  }

  #take(bytes: Buffer): void {
    try {
      const heard = readFrame(bytes);
      if (heard === null) return;
      const key = keyOf(heard.said);
      const series = this.#series.get(key);
      const [waiting] = this.#waiting.get(key) ?? [];
      if (heard.said.$case === 'refusal') this.#refused(heard.said.value);
      else if (series) series.take(heard);
      else if (waiting) waiting.resolve(heard);
      else this.#onNews(heard);
    } catch (caught) {
      this.#end(AegisError.from(caught));
      this.#call.cancel();
    }
  }

  #refused({ taskId, requestId, partId, code, detail, again }: ValueOf<'refusal'>): void {
    const error = again
      ? new AegisError('UNAVAILABLE', `${code}: ${detail}`)
      : isErrorCode(code)
        ? new AegisError(code, detail)
        : new AegisError('INTERNAL', `${code}: ${detail}`);
    const keys = requestId
      ? [`request ${requestId}`]
      : partId
        ? [`part ${partId}`]
        : [`missing ${taskId}`, `verdict ${taskId}`, `stage ${taskId}`];
    for (const key of keys) {
      this.#series.get(key)?.fail(error);
      for (const waiting of [...(this.#waiting.get(key) ?? [])]) waiting.reject(error);
    }
  }

  #answer(key: string, ms: number | null): Promise<Heard> {
    if (this.#over) return Promise.reject(lost(this.#over));
    const { promise, resolve, reject } = Promise.withResolvers<Heard>();
    const done = (): void => {
      timer?.cancel();
      const left = (this.#waiting.get(key) ?? []).filter((one) => one !== waiting);
      if (left.length > 0) this.#waiting.set(key, left);
      else this.#waiting.delete(key);
    };
    const waiting: Waiting = {
      resolve: (heard) => {
        done();
        resolve(heard);
      },
      reject: (error) => {
        done();
        reject(error);
      },
    };
    // A server that is silent while it owes an answer is stuck; over a new stream it may not be.
    const timer =
      ms === null
        ? null
        : this.#clock.schedule(ms, () => {
            waiting.reject(new AegisError('UNAVAILABLE', `No answer for ${ms / 1000} s.`));
            this.close();
          });
    this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), waiting]);
    return promise;
  }

  #keepAlive(ms: number): void {
    this.#beat = this.#clock.schedule(ms, () => {
      this.say({ $case: 'heartbeat', value: {} });
      if (this.#over === null) this.#keepAlive(ms);
    });
  }

  #end(error: AegisError): void {
    if (this.#over) return;
    this.#over = error;
    this.#beat?.cancel();
    this.#drained?.resolve();
    for (const list of [...this.#waiting.values()]) for (const waiting of [...list]) waiting.reject(lost(error));
    for (const series of this.#series.values()) series.fail(lost(error));
  }
}

/** Whoever asked something only learns that the stream is gone; why it is gone is for who keeps it. */
const lost = (error: AegisError): AegisError =>
  error.entry.kind === 'unavailable' ? error : new AegisError('UNAVAILABLE', error.message, error);

/** What a frame of the server answers. */
const keyOf = (said: Said): string => {
  switch (said.$case) {
    case 'modelBytes':
    case 'runFacts':
    case 'appBytes':
    case 'purposesKept':
      return `request ${said.value.requestId}`;
    case 'missingParts':
      return `missing ${said.value.taskId}`;
    case 'partStored':
      return `part ${said.value.partId}`;
    case 'verdict':
      return `verdict ${said.value.taskId}`;
    case 'stageRequest':
      return `stage ${said.value.taskId}`;
    default:
      return said.$case;
  }
};
