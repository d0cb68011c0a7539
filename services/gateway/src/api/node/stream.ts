import { AegisError } from '@aegis/errors';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { NodeRecord } from '../../domain/node.ts';
import { lookCutOff } from '../../flows/heartbeat.ts';
import { type Frames, framesOf } from '../grpc-frames.ts';
import { type Heard, readFrame } from './frames.ts';
import { takeHello } from './hello.ts';
import { CONNECT_PATH, nodeLimits } from './limits.ts';
import { Outgoing } from './outgoing.ts';
import type { NodeDoorParts, Streams } from './parts.ts';
import { ReadingPace } from './reading-pace.ts';
import { NodeSession } from './session.ts';

const NONCE_BYTES = 32;

/** One stream from its Challenge to its end: reads frames at a pace, greets the node, and hands what follows to its session. */
export class NodeStream {
  readonly #parts: NodeDoorParts;
  readonly #streams: Streams;
  readonly #call: ServerDuplexStream<Buffer, Buffer>;
  readonly #frames: Frames;
  /** Aborted when the connection is gone. */
  readonly #gone = new AbortController();
  /** Aborted when nothing is to be done for this stream any more, whoever ended it. */
  readonly #over = new AbortController();
  readonly #out: Outgoing;
  readonly #pace: ReadingPace;
  readonly #nonce: Buffer;
  readonly #helloTimer: { cancel(): void };
  #greeting = false;
  #session: NodeSession | null = null;

  constructor(parts: NodeDoorParts, streams: Streams, call: ServerDuplexStream<Buffer, Buffer>) {
    const { gateway } = parts;
    this.#parts = parts;
    this.#streams = streams;
    this.#call = call;
    this.#frames = framesOf(call.metadata);
    this.#out = new Outgoing(call, this.#gone.signal);
    this.#pace = new ReadingPace(gateway.clock, this.#out, this.#gone.signal);
    this.#nonce = gateway.random.bytes(NONCE_BYTES);
    const late = new AegisError('NODE_HELLO', `None came within ${nodeLimits.helloMs / 1000} seconds.`);
    this.#helloTimer = gateway.clock.schedule(nodeLimits.helloMs, () => this.fail(late));
    call.on('data', (bytes: Buffer) => this.#take(bytes));
    call.once('end', () => this.#ended());
    call.once('cancelled', () => this.#lost());
    this.#out.say({ $case: 'challenge', value: { nonce: this.#nonce } });
  }

  get peer(): string {
    return this.#call.getPeer().replace(/:\d{1,5}$/, '');
  }

  /** The client is told to come again; what is being written down for it is still acknowledged. */
  async goAway(reason: string, afterSeconds: number): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.#stop();
    this.#out.say({ $case: 'goAway', value: { reason, afterSeconds } });
    const patience = this.#parts.gateway.clock.sleep(nodeLimits.farewellMs, this.#gone.signal).catch(() => {});
    await Promise.race([this.#pace.idle(), patience]);
    this.#farewell();
  }

  /** The client's own end. */
  close(): void {
    this.#stop();
    this.#farewell();
  }

  #take(bytes: Buffer): void {
    const lease = this.#frames.next();
    if (this.#over.signal.aborted) {
      lease.release();
      return;
    }
    this.#pace.count();
    try {
      const work = this.#hear(readFrame(bytes));
      if (work) this.#pace.during(work.finally(() => lease.release()));
      else lease.release();
    } catch (caught) {
      lease.release();
      this.fail(AegisError.from(caught));
    }
    const pause = this.#pace.pause();
    if (!pause) return;
    this.#call.pause();
    void pause.then(() => this.#call.resume());
  }

  #hear(heard: Heard): Promise<void> | null {
    if (this.#session) return this.#session.hear(heard);
    const { said } = heard;
    if (said.$case !== 'hello') throw new AegisError('NODE_HELLO', `The first frame was "${said.$case}".`);
    if (this.#greeting) throw new AegisError('NODE_HELLO', 'Frames came before Welcome.');
    this.#greeting = true;
    return takeHello(this.#parts.gateway, said.value, this.#nonce, this.#parts.connectionOf(this.#call.getPeer())).then(
      (node) => this.#welcome(node),
      (caught: unknown) => this.fail(AegisError.from(caught)),
    );
  }

  #welcome(node: NodeRecord): void {
    if (this.#over.signal.aborted) return;
    this.#helloTimer.cancel();
    const { window, part, frame, heartbeatSeconds } = nodeLimits;
    this.#frames.limit = frame;
    this.#frames.holder = `node ${node.nodeId}`;
    this.#out.say({
      $case: 'welcome',
      value: {
        ...{ nodeId: node.nodeId, heartbeatSeconds, windowBytes: BigInt(window), maxPartBytes: BigInt(part) },
        takesPurposes: true,
      },
    });
    this.#session = new NodeSession(this.#parts, node, {
      out: this.#out,
      over: this.#over.signal,
      peer: this.peer,
      goAway: (reason) => void this.goAway(reason, 0),
      close: () => this.close(),
    });
    this.#streams.opened(node, this);
    this.#session.begin();
  }

  /** The client said its last; what it asked for is still answered. */
  #ended(): void {
    if (this.#over.signal.aborted) return;
    void this.#pace.idle().then(() => this.close());
  }

  #lost(): void {
    this.#gone.abort();
    this.#stop();
  }

  /** Ends the stream with this error as its status. */
  fail(error: AegisError): void {
    if (this.#over.signal.aborted) return;
    this.#parts.counted.refused('node', error, { path: CONNECT_PATH, status: undefined, peer: this.peer });
    this.#stop();
    this.#farewell(error);
  }

  #stop(): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#helloTimer.cancel();
    const node = this.#session?.node;
    // A newer stream of the node may have taken its place; then it is there.
    if (node && this.#streams.closed(node.nodeId, this) && !this.#session?.left) {
      lookCutOff(this.#parts.gateway, node.nodeId);
    }
  }

  #farewell(error?: AegisError): void {
    if (!this.#out.isOpen) return;
    this.#out.end(error);
    // What still arrives is let through to its end, so that the status is read.
    this.#call.resume();
    const cut = this.#parts.gateway.clock.schedule(nodeLimits.farewellMs, () => this.#frames.cut());
    this.#gone.signal.addEventListener('abort', () => cut.cancel(), { once: true });
  }
}
