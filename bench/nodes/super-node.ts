import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetFabRequest, GetFabResponse } from '@aegis/contracts/flwr/proto/fab';
import {
  ActivateNodeRequest,
  ActivateNodeResponse,
  DeactivateNodeRequest,
  PullMessagesRequest,
  PullMessagesResponse,
  PushMessagesRequest,
  PushMessagesResponse,
  RegisterNodeFleetRequest,
  UnregisterNodeFleetRequest,
} from '@aegis/contracts/flwr/proto/fleet';
import { SendNodeHeartbeatRequest, SendNodeHeartbeatResponse } from '@aegis/contracts/flwr/proto/heartbeat';
import {
  ConfirmMessageReceivedRequest,
  Message,
  type ObjectTree,
  PullObjectRequest,
  PushObjectResponse,
} from '@aegis/contracts/flwr/proto/message';
import { GetRunRequest, GetRunResponse } from '@aegis/contracts/flwr/proto/run';
import type { Ledger } from './ledger.ts';
import { makeObject } from './object-bytes.ts';
import type { FleetOptions } from './protocol.ts';
import { inParallel, withRetry } from './retry.ts';
import type { Signer } from './signer.ts';
import { FleetError, type FleetMethod, type Transport, totalLength } from './transport.ts';
import { pulledObject, pushObjectRequest } from './wire.ts';
import type { Workshop } from './workshop.ts';

const PARALLEL_OBJECTS = 2;
const HEARTBEAT_SECONDS = 30;
const CALL_TIMEOUT_MS = 30_000;
const SMALL_OBJECT = 65_536;

interface Task {
  message: Message;
  objectIds: string[];
}

/** One simulated SuperNode: the calls of a stock one in the same order, and a ClientApp that takes no time. */
export class SuperNode {
  readonly #transport: Transport;
  readonly #signer: Signer;
  readonly #options: FleetOptions;
  readonly #workshop: Workshop;
  readonly #ledger: Ledger;
  readonly #stop = new AbortController();
  readonly #knownRuns = new Set<bigint>();
  readonly #retried = (error: Error): void => this.#ledger.retried(error);
  #nodeId = 0n;

  constructor(transport: Transport, signer: Signer, options: FleetOptions, workshop: Workshop, ledger: Ledger) {
    this.#transport = transport;
    this.#signer = signer;
    this.#options = options;
    this.#workshop = workshop;
    this.#ledger = ledger;
  }

  async connect(): Promise<void> {
    const publicKey = this.#signer.publicKeyPem;
    await this.#call('RegisterNode', RegisterNodeFleetRequest.encode({ publicKey }).finish());
    const request = { publicKey, heartbeatInterval: HEARTBEAT_SECONDS };
    const answer = await this.#call('ActivateNode', ActivateNodeRequest.encode(request).finish());
    this.#nodeId = ActivateNodeResponse.decode(answer).nodeId;
  }

  /** Works until it has answered `rounds` tasks. */
  async work(rounds: number): Promise<void> {
    const beating = this.#beat();
    try {
      await sleep(Math.random() * Math.min(this.#options.emptyPauseMs, 1_000), undefined, {
        signal: this.#stop.signal,
      });
      for (let round = 1; round <= rounds; ) {
        const task = await this.#pull();
        if (!task) {
          this.#ledger.emptyPulls += 1;
          await sleep(this.#options.emptyPauseMs, undefined, { signal: this.#stop.signal });
          continue;
        }
        this.#ledger.took(round);
        if (await this.#answer(task)) {
          this.#ledger.answered(round);
          round += 1;
        }
      }
    } finally {
      this.#stop.abort();
      await beating;
    }
  }

  async heartbeat(): Promise<void> {
    const request = { node: { nodeId: this.#nodeId }, heartbeatInterval: HEARTBEAT_SECONDS };
    const body = SendNodeHeartbeatRequest.encode(request).finish();
    const begin = performance.now();
    const answer = await this.#transport.call('SendNodeHeartbeat', [body], CALL_TIMEOUT_MS);
    this.#ledger.called('SendNodeHeartbeat', performance.now() - begin);
    if (!SendNodeHeartbeatResponse.decode(answer).success) throw new FleetError('fatal', 'heartbeat refused');
  }

  /** Its next call begins with a connection, over HTTP. */
  forgetIdle(): void {
    this.#transport.forgetIdle();
  }

  /** Says good-bye as a stock node does: errors are not its problem any more. */
  async leave(): Promise<void> {
    this.#stop.abort();
    const body = { nodeId: this.#nodeId };
    try {
      await this.#transport.call('DeactivateNode', [DeactivateNodeRequest.encode(body).finish()], 5_000);
      await this.#transport.call('UnregisterNode', [UnregisterNodeFleetRequest.encode(body).finish()], 5_000);
    } catch {
      // the server may be gone already
    } finally {
      this.#transport.close();
    }
  }

  async #beat(): Promise<void> {
    try {
      for (;;) {
        await withRetry(() => this.heartbeat(), this.#retried, this.#stop.signal);
        await sleep((HEARTBEAT_SECONDS - 5) * 1_000 * (0.7 + 0.2 * Math.random()), undefined, {
          signal: this.#stop.signal,
        });
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#ledger.gaveUp(error as Error);
    }
  }

  async #pull(): Promise<Task | null> {
    const request = PullMessagesRequest.encode({ node: { nodeId: this.#nodeId }, messageIds: [] }).finish();
    const answer = PullMessagesResponse.decode(await this.#call('PullMessages', request));
    const [message] = answer.messagesList;
    const [tree] = answer.messageObjectTrees;
    if (!message || !tree) return null;
    return { message, objectIds: [...new Set(postOrder(tree))] };
  }

  /** False if the server says that the run is over. */
  async #answer({ message, objectIds }: Task): Promise<boolean> {
    const metadata = message.metadata;
    if (!metadata) throw new Error('task without metadata');
    const node = { nodeId: this.#nodeId };
    const { runId } = metadata;
    try {
      await this.#learnRun(runId);
      const small = new Map<string, Buffer>();
      const heads = new Map<string, Buffer>();
      await inParallel(objectIds, PARALLEL_OBJECTS, async (objectId) => {
        const content = await this.#pullObject(runId, objectId);
        if (content.length <= SMALL_OBJECT) small.set(objectId, Buffer.from(content));
        heads.set(objectId, Buffer.from(content.subarray(0, 1_024)));
      });
      const confirm = { node, runId, messageObjectId: metadata.messageId };
      await this.#call('ConfirmMessageReceived', ConfirmMessageReceivedRequest.encode(confirm).finish());

      const content = this.#workshop.reply(small, heads);
      const reply = {
        ...metadata,
        messageId: '',
        srcNodeId: this.#nodeId,
        dstNodeId: 1n,
        replyToMessageId: metadata.messageId,
        createdAt: Date.now() / 1_000,
        ttl: metadata.ttl - (Date.now() / 1_000 - metadata.createdAt),
        srcTaskId: undefined,
        dstTaskId: metadata.srcTaskId,
      };
      const bare = { metadata: reply, content: undefined, error: undefined };
      const messageObject = makeObject('Message', [content.tree.objectId], Message.encode(bare).finish());
      const announce = PushMessagesRequest.encode({
        node,
        messagesList: [
          { metadata: { ...reply, messageId: messageObject.id }, content: { items: [] }, error: undefined },
        ],
        messageObjectTrees: [{ objectId: messageObject.id, children: [content.tree] }],
        clientappRuntimeList: [0.001],
      }).finish();
      const wanted = PushMessagesResponse.decode(await this.#call('PushMessages', announce));
      const lacking = new Set(wanted.objectsToPush);
      const objects = [...content.objects, messageObject].filter(({ id }) => lacking.has(id));
      await inParallel(objects, PARALLEL_OBJECTS, async ({ id, pieces }) => {
        const body = pushObjectRequest(this.#nodeId, runId, id, pieces, wanted.sessionId);
        const { stored } = PushObjectResponse.decode(await this.#callPieces('PushObject', body));
        if (!stored) throw new FleetError('fatal', `object ${id} was not stored`);
      });
      this.#ledger.updateBytes += content.chunkBytes;
      return true;
    } catch (error) {
      if (error instanceof FleetError && error.refusal === 'run-over') {
        this.#ledger.runOver += 1;
        return false;
      }
      throw error;
    }
  }

  async #learnRun(runId: bigint): Promise<void> {
    if (this.#knownRuns.has(runId)) return;
    const node = { nodeId: this.#nodeId };
    const { run } = GetRunResponse.decode(await this.#call('GetRun', GetRunRequest.encode({ node, runId }).finish()));
    if (!run) throw new Error('get-run answered without a run');
    const request = GetFabRequest.encode({ node, hashStr: run.fabHash, runId }).finish();
    const { fab } = GetFabResponse.decode(await this.#call('GetFab', request));
    if (!fab || createHash('sha256').update(fab.content).digest('hex') !== run.fabHash) throw new Error('wrong FAB');
    this.#knownRuns.add(runId);
  }

  async #pullObject(runId: bigint, objectId: string): Promise<Buffer> {
    const request = PullObjectRequest.encode({ node: { nodeId: this.#nodeId }, runId, objectId }).finish();
    for (let pause = 1_000; ; pause = Math.min(2 * pause, 10_000)) {
      const { found, available, content } = pulledObject(await this.#call('PullObject', request));
      if (!found) throw new FleetError('fatal', `object ${objectId} is unknown to the server`);
      if (available) {
        this.#workshop.verify(objectId, content);
        return content;
      }
      await sleep(pause, undefined, { signal: this.#stop.signal });
    }
  }

  #call(method: FleetMethod, body: Uint8Array): Promise<Buffer> {
    return this.#callPieces(method, [body]);
  }

  async #callPieces(method: FleetMethod, body: Uint8Array[]): Promise<Buffer> {
    const begin = performance.now();
    const answer = await withRetry(
      () => this.#transport.call(method, body, CALL_TIMEOUT_MS),
      this.#retried,
      this.#stop.signal,
    );
    this.#ledger.called(method, performance.now() - begin);
    this.#ledger.bytesPushed += totalLength(body);
    this.#ledger.bytesPulled += answer.length;
    return answer;
  }
}

function* postOrder(tree: ObjectTree): Generator<string> {
  for (const child of tree.children) yield* postOrder(child);
  yield tree.objectId;
}
