import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { Welcome } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { type Clock, orAborted, type TlsMaterial } from '@aegis/service-kit';
import type { Client } from '@grpc/grpc-js';
import type { Verdict } from '../domain/answer.ts';
import type { Stage } from '../domain/masking.ts';
import type { Purpose } from '../domain/policy.ts';
import type { App, RunFacts } from '../domain/task.ts';
import type { StageRequest, Submission, Upstream, UpstreamEvents } from './contract.ts';
import { readStageRequest, stageFrame } from './masking.ts';
import { type Heard, readOffer, readRun, submitFrame, type ToSay } from './messages.ts';
import { type Identity, NodeStream, type ValueOf } from './node-stream.ts';
import { openServerClient } from './server-client.ts';

/** A stream that lived so long was no accident: after it, trying again begins quickly. */
const STEADY_MS = 10_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const LONGEST_REASON = 300;
const CONSENT_AGAIN_MS = 1_000;
/** Asked at once of a model. */
const MODEL_PIECE = 4 * 2 ** 20;
const CLIENT = 'aegis-guard/0.1.0';

export interface UpstreamOptions {
  readonly address: string;
  readonly tls: TlsMaterial;
  readonly serverName?: string | undefined;
  /** Takes part in secure aggregation. */
  readonly canMask: boolean;
  /** What the owner consents to: said with every connection. */
  readonly purposes: readonly Purpose[];
  readonly clock: Clock;
  /** In [0, 1). */
  readonly chance: () => number;
  readonly events: UpstreamEvents;
}

/** Errors that a new connection cannot mend: the guard ends with them. */
const isFinal = ({ entry, code }: AegisError): boolean =>
  entry.kind === 'unauthenticated' || entry.kind === 'forbidden' || ['NODE_PROTOCOL', 'NODE_REPLACED'].includes(code);

/** Where the server said nothing itself, what gRPC knows: that its certificate is not trusted, that nobody listens there. */
const spelledOut = ({ message, detail, cause }: AegisError): string => {
  const known = (cause as { details?: unknown } | undefined)?.details;
  if (detail !== '' || typeof known !== 'string' || known === '') return message;
  const [, last = known] = /Last error: (?:Error: )?([^;]+?)(?:;|\. Resolution note|$)/.exec(known) ?? [];
  return `${last.slice(0, LONGEST_REASON)}${hintFor(last)}`;
};

const hintFor = (reason: string): string => {
  if (reason.includes('altnames')) return '; --server-name says which name of the certificate is meant';
  return reason.includes('certificate') ? '; --ca is to be the ca.pem of the server: aegis doctor checks it' : '';
};

/** Keeps one stream to the server open: lost, it is opened again with full jitter, and everybody who waits goes on over the new one. */
export class NodeUpstream implements Upstream {
  /** Rejects with what makes going on pointless; resolves when closed. */
  readonly finished: Promise<void>;
  readonly #options: UpstreamOptions;
  #client: Client;
  readonly #identity: Identity;
  readonly #closing = new AbortController();
  #stream: NodeStream | null = null;
  #welcome: Welcome | null = null;
  #opened = Promise.withResolvers<void>();
  #nodeId = Promise.withResolvers<bigint>();
  #requests = 0n;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    const { tls } = options;
    this.#client = openServerClient(options, tls);
    const publicKey = createPublicKey(createPrivateKey(tls.key));
    this.#identity = {
      publicKeyPem: Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })),
      privateKeyPem: tls.key,
      client: CLIENT,
      canMask: options.canMask,
    };
    this.finished = this.#keep();
    this.finished.catch(() => {});
  }

  get maxPartBytes(): number {
    const { maxPartBytes = 2n ** 20n, windowBytes = 2n ** 23n } = this.#welcome ?? {};
    // Four of them are under way at once.
    return Number([maxPartBytes, windowBytes / 4n].reduce((a, b) => (a < b ? a : b)));
  }

  /** Connections made from now on show this certificate, for the same key. The one there is goes on until it ends. */
  use(tls: TlsMaterial): void {
    const before = this.#client;
    this.#client = openServerClient(this.#options, tls);
    if (this.#stream === null) before.close();
  }

  nodeId(signal: AbortSignal): Promise<bigint> {
    return orAborted(this.#nodeId.promise, signal);
  }

  connected(signal: AbortSignal): Promise<void> {
    return orAborted(this.#opened.promise, signal);
  }

  async run(runId: bigint): Promise<RunFacts> {
    const requestId = this.#next();
    const { said } = await this.#ask({ $case: 'readRun', value: { requestId, runId } }, `request ${requestId}`);
    const { run } = said.value as ValueOf<'runFacts'>;
    if (!run) throw new AegisError('REQUEST_MALFORMED', 'The server described no run.');
    return readRun(run);
  }

  async app(runId: bigint): Promise<App> {
    const requestId = this.#next();
    const { said, content } = await this.#ask(
      { $case: 'readApp', value: { requestId, runId } },
      `request ${requestId}`,
    );
    const { appHash, verifications } = said.value as ValueOf<'appBytes'>;
    return { appHash, verifications, fab: Buffer.from(content) };
  }

  async *model(taskId: string, bytes: number): AsyncGenerator<{ offset: number; content: Buffer }> {
    for (let start = 0; start < bytes; ) {
      const requestId = this.#next();
      const length = Math.min(MODEL_PIECE, bytes - start);
      const frame: ToSay = {
        $case: 'readModel',
        value: { requestId, taskId, offset: BigInt(start), length: BigInt(length) },
      };
      const end = start + length;
      for await (const { said, content } of this.#live().asked(frame, `request ${requestId}`)) {
        const offset = Number((said.value as ValueOf<'modelBytes'>).offset);
        if (offset !== start || content.byteLength === 0 || offset + content.byteLength > end) {
          throw new AegisError('REQUEST_MALFORMED', 'The server sent bytes of a model that were not asked for.');
        }
        yield { offset, content };
        start = offset + content.byteLength;
        if (start === end) break;
      }
    }
  }

  accepted(taskId: string): void {
    this.#stream?.say({ $case: 'taskAccepted', value: { taskId } });
  }

  async begin(taskId: string, partIds: readonly string[]): Promise<string[]> {
    const frame: ToSay = { $case: 'beginUpdate', value: { taskId, partIds: [...partIds] } };
    const { said } = await this.#ask(frame, `missing ${taskId}`);
    return (said.value as ValueOf<'missingParts'>).partIds;
  }

  async part(taskId: string, partId: string, content: Buffer): Promise<void> {
    await this.#live().ask({ $case: 'part', value: { taskId, partId } }, `part ${partId}`, content);
  }

  async submit(submission: Submission): Promise<Verdict> {
    const { said } = await this.#ask(submitFrame(submission), `verdict ${submission.taskId}`);
    const { accepted, code, detail } = said.value as ValueOf<'verdict'>;
    return { accepted, code, detail };
  }

  async stage(taskId: string, stage: Stage, answer: string): Promise<StageRequest | null> {
    const { said } = await this.#live().askPatiently(stageFrame(taskId, stage, answer), `stage ${taskId}`);
    return readStageRequest(said.value as ValueOf<'stageRequest'>);
  }

  fail(taskId: string, code: number, reason: string): void {
    this.#stream?.say({ $case: 'failTask', value: { taskId, code, reason } });
  }

  async close(): Promise<void> {
    this.#closing.abort(new AegisError('UNAVAILABLE', 'The guard ends.'));
    await this.#stream?.leave();
    await this.finished.catch(() => {});
    this.#client.close();
  }

  #next(): bigint {
    this.#requests += 1n;
    return this.#requests;
  }

  #live(): NodeStream {
    if (this.#stream) return this.#stream;
    throw new AegisError('UNAVAILABLE', 'There is no connection to the server.');
  }

  #ask(frame: ToSay, answer: string): Promise<Heard> {
    return this.#live().ask(frame, answer);
  }

  async #keep(): Promise<void> {
    const { clock, chance, events } = this.#options;
    const { signal } = this.#closing;
    let bound = FIRST_WAIT_MS;
    while (!signal.aborted) {
      const began = clock.monotonic();
      const error = await this.#once();
      if (signal.aborted) return;
      if (isFinal(error)) throw error;
      if (clock.monotonic() - began > STEADY_MS) bound = FIRST_WAIT_MS;
      const wait = chance() * bound;
      bound = Math.min(LONGEST_WAIT_MS, bound * 2);
      events.lost(spelledOut(error), wait);
      await clock.sleep(wait, signal).catch(() => {});
    }
  }

  /** One stream from beginning to end; returns why it ended. */
  async #once(): Promise<AegisError> {
    const { clock, events } = this.#options;
    const client = this.#client;
    const stream = new NodeStream(client, clock, (heard) => this.#hear(heard));
    try {
      const welcome = await stream.open(this.#identity);
      this.#welcome = welcome;
      this.#stream = stream;
      this.#nodeId.resolve(welcome.nodeId);
      events.connected(welcome.nodeId);
      this.#opened.resolve();
      void this.#sayPurposes(stream, welcome);
      return await stream.ended;
    } catch (caught) {
      stream.close();
      const ended = await stream.ended;
      return isFinal(ended) ? ended : AegisError.from(caught);
    } finally {
      if (this.#stream === stream) {
        this.#stream = null;
        this.#opened = Promise.withResolvers();
      }
      if (client !== this.#client) client.close();
    }
  }

  /** A server that knows no consent has no runs that ask for it. Said until it is kept: what is not said was perhaps given before. */
  async #sayPurposes(stream: NodeStream, { takesPurposes }: Welcome): Promise<void> {
    const { purposes, clock, events } = this.#options;
    if (!takesPurposes) {
      if (purposes.length > 0) events.notConsented('The server knows no consent.');
      return;
    }
    const given = purposes.map(({ purpose: name, version }) => ({ name, version }));
    while (this.#stream === stream) {
      const requestId = this.#next();
      try {
        await stream.ask({ $case: 'purposes', value: { requestId, given } }, `request ${requestId}`);
        events.consented(purposes);
        return;
      } catch (caught) {
        const error = AegisError.from(caught);
        if (error.entry.kind !== 'unavailable') {
          events.notConsented(error.message);
          return;
        }
        await clock.sleep(CONSENT_AGAIN_MS, this.#closing.signal).catch(() => {});
      }
    }
  }

  #hear({ said }: Heard): void {
    const { events } = this.#options;
    if (said.$case === 'taskOffer') events.offered(readOffer(said.value));
    else if (said.$case === 'taskWithdrawn') events.withdrawn(said.value.taskId, said.value.reason);
  }
}
