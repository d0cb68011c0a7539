import type { IncomingMessage, ServerResponse } from 'node:http';
import { AegisError, isErrorCode } from '@aegis/errors';
import type { Telemetry } from '@aegis/service-kit';
import type { z } from 'zod';
import type { Consent } from '../../domain/consent.ts';
import type { NodeRecord } from '../../domain/node.ts';
import type { Task } from '../../domain/task.ts';
import type { Verdict } from '../../domain/upload.ts';
import { restKeysOf } from '../../flows/authenticate-request.ts';
import { confirmTask } from '../../flows/confirm-task.ts';
import { consentsOf, stateConsent } from '../../flows/consent.ts';
import { enrolRestNode } from '../../flows/enrol-rest-node.ts';
import { FAILURE, failTask } from '../../flows/fail-task.ts';
import { findTask } from '../../flows/find-task.ts';
import { followMailbox } from '../../flows/follow-mailbox.ts';
import type { Gateway } from '../../flows/gateway.ts';
import { lookAlive, lookFree } from '../../flows/heartbeat.ts';
import { listRuns } from '../../flows/list-runs.ts';
import { pullTask } from '../../flows/pull-task.ts';
import { findTaskUpload } from '../../flows/put-part.ts';
import { NONCE_MS } from '../../flows/rest-keys.ts';
import { checkStarted, startRestNode } from '../../flows/start-rest-node.ts';
import { notMasked } from '../../flows/withhold-masked.ts';
import type { ModelBlocks } from '../model-blocks.ts';
import { partsOf, partsOfSlices } from '../node/update.ts';
import { UpdateIntake } from '../node/update-intake.ts';
import { inTaskSpan } from '../task-span.ts';
import type { EndpointName, NodeEndpoint } from './endpoints.ts';
import { LONGEST_MS, sendEvents } from './events.ts';
import { Npz } from './files/npz.ts';
import { Safetensors } from './files/safetensors.ts';
import { sendFile } from './files/send-file.ts';
import { unfolding } from './files/unfold.ts';
import { fileOf, manifestId, submitOf } from './manifest.ts';
import { openApi } from './openapi.ts';
import { plainOf, progressOf } from './plain.ts';
import * as schemas from './schemas.ts';
import { Submitting } from './submitting.ts';

const NONCE_RANDOM = 16;
/** Runs that one answer tells of. */
const MOST_RUNS = 20;

export interface RestCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: unknown;
  /** JSON as its schema has it, or bytes. */
  readonly body: unknown;
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal;
  /** Whether an answer that lasts may go on: an operator's, as long as its token counts and this gateway does not drain. */
  readonly mayGoOn: () => boolean;
}
export type SignedCall = RestCall & { readonly node: NodeRecord };

/** What each endpoint of nodes does: one flow each. What they return is sent as JSON, or is its bytes; undefined: it was answered. */
export class RestCalls {
  readonly #gateway: Gateway;
  readonly #telemetry: Telemetry;
  readonly #models: ModelBlocks;
  readonly #files: { readonly npz: Npz; readonly safetensors: Safetensors };
  readonly #submitting = new Submitting();
  readonly #document = Buffer.from(JSON.stringify(openApi()));

  constructor({ gateway, telemetry, models }: { gateway: Gateway; telemetry: Telemetry; models: ModelBlocks }) {
    this.#gateway = gateway;
    this.#telemetry = telemetry;
    this.#models = models;
    this.#files = { npz: new Npz(models), safetensors: new Safetensors(models) };
  }

  /** Of whoever asks. */
  readonly open = {
    nonce: (_: RestCall) => this.#nonce(),
    register: (call: RestCall) => this.#register(call),
    openapi: (_: RestCall): Promise<unknown> => Promise.resolve(this.#document),
  };

  /** Of a node that signed. */
  readonly signed: Readonly<Record<NodeEndpoint, (call: SignedCall) => Promise<unknown>>> = {
    tasks: (call) => this.#task(call),
    'task-events': (call) => this.#taskEvents(call),
    model: (call) => this.#model(call),
    part: (call) => this.#part(call),
    update: (call) => this.#update(call),
    fail: (call) => this.#fail(call),
    stats: (call) => this.#stats(call),
    consents: async ({ node }) => consentsAnswer(await consentsOf(this.#gateway, node)),
    consent: (call) => this.#consent(call),
  };

  /** Before a byte of the body is read: whether the node is at work, and there can be anything to say about the task that the path names. */
  async admit(name: EndpointName, { task = '' }: RestCall['parameters'], node: NodeRecord): Promise<void> {
    // who has not come to work yet says first what to
    if (name === 'consent' || name === 'consents') return;
    if (name !== 'tasks' && name !== 'task-events') await checkStarted(this.#gateway, node);
    if (name === 'fail') await this.#taskOf(node, task);
    if (name !== 'update') return;
    const taskId = readTaskId(task);
    try {
      await this.#taskOf(node, taskId);
    } catch (caught) {
      // The round has gone on and forgotten the task; what was said of this node's answer stands.
      const isOver = AegisError.from(caught).entry.kind === 'over';
      if (!isOver || !(await this.#settled(node, taskId))) throw caught;
    }
  }

  async #nonce(): Promise<unknown> {
    const { clock, random } = this.#gateway;
    const nonce = restKeysOf(this.#gateway).nonce(clock.now(), random.bytes(NONCE_RANDOM));
    return { nonce, seconds: NONCE_MS / 1000 };
  }

  async #register({ request, body }: RestCall): Promise<unknown> {
    const { node, secret } = await enrolRestNode(this.#gateway, request.socket, body as schemas.Registration);
    return { nodeId: node.nodeId.toString(), secret };
  }

  async #task({ node, query, signal }: SignedCall): Promise<unknown> {
    const { wait } = query as { wait: number };
    const holdMs = Math.min(wait * 1000, this.#gateway.settings.holdMs);
    const prepare = (task: Task) => inTaskSpan(this.#telemetry, 'gateway.offer-task', task, () => this.#offer(task));
    const worker = await startRestNode(this.#gateway, node);
    return { task: await pullTask(this.#gateway, worker, signal, prepare, holdMs) };
  }

  async #taskEvents({ node, response, signal }: SignedCall): Promise<undefined> {
    const gateway = this.#gateway;
    const { clock } = gateway;
    const prepare = (task: Task) => inTaskSpan(this.#telemetry, 'gateway.offer-task', task, () => this.#offer(task));
    const worker = await startRestNode(gateway, node);
    const beat = (): void => lookAlive(gateway, worker);
    beat();
    lookFree(gateway, worker);
    // What lost its power is not heard to go: only a question of its own says that the node is there.
    const longestMs = Math.min(LONGEST_MS, 2_000 * worker.heartbeatSeconds);
    await sendEvents(response, { clock, signal, onBeat: beat, longestMs }, async function* (ending) {
      for await (const news of followMailbox(gateway, worker, ending, prepare))
        yield news.what === 'task'
          ? { event: 'task', data: news.offer }
          : { event: 'withdrawn', data: { taskId: news.taskId } };
    });
  }

  async #offer(task: Task): Promise<schemas.RestTask> {
    const { taskId, runId, round, kind, config, deadline, modelId } = task;
    if (kind === 'initial-model') {
      await failTask(this.#gateway, task, FAILURE.nodeUnavailable, 'A REST client has no first model.');
      throw new AegisError('TASK_CLOSED');
    }
    const { tensors } = await this.#models.facts(modelId);
    const left = deadline === 0 ? null : Math.max(deadline - this.#gateway.clock.now() / 1000, 0);
    const described = tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] }));
    const model = { modelId, tensors: described };
    return { taskId, runId: runId.toString(), round, kind, config: plainOf(config), model, secondsLeft: left };
  }

  async #model({ node, query, request, response }: SignedCall): Promise<undefined> {
    const { task: taskId, format } = query as z.infer<typeof schemas.modelQuery>;
    const task = await this.#taskOf(node, taskId);
    if (task.modelId === '') throw new AegisError('REQUEST_MALFORMED', 'The task has no model.');
    confirmTask(this.#gateway, task);
    await sendFile(request, response, await this.#files[format].of(task.modelId));
  }

  async #part({ node, parameters, body }: SignedCall): Promise<unknown> {
    const { task = '', sha256 = '' } = parameters;
    await this.#intake(node).part(readTaskId(task), sha256, body as Buffer, node.nodeId);
    return { stored: true };
  }

  async #update({ node, parameters, body }: SignedCall): Promise<unknown> {
    const { task: text = '' } = parameters;
    const taskId = readTaskId(text);
    const manifest = body as schemas.Manifest;
    const answerId = manifestId(manifest);
    const settled = await this.#settled(node, taskId);
    if (settled && settled.replyId !== answerId) throw new AegisError('TASK_ANSWERED', 'With another manifest.');
    if (settled) return told(settled.verdict);
    const { layout, modelId } = await this.#taskOf(node, taskId);
    const submit = submitOf(taskId, layout.weightedByKey, manifest);
    const file = fileOf(manifest);
    const intake = this.#intake(node);
    const parts = file ? partsOfSlices(file.slices) : partsOf(submit);
    const missing = await intake.begin(taskId, parts, node.nodeId, answerId);
    if (missing.length > 0) return { status: 'incomplete', missing };
    const unfold = file ? unfolding({ gateway: this.#gateway, models: this.#models, modelId }, file) : undefined;
    const isEncoded = file !== null && file.encoded.length > 0;
    const verdict = await this.#submitting.run({ of: `${node.nodeId} ${taskId}`, answerId, isEncoded }, () =>
      intake.submit(submit, node.nodeId, answerId, unfold),
    );
    this.#finished(node);
    return told(verdict);
  }

  /** What was said of this node's answer to the task, and of which. */
  async #settled({ nodeId }: NodeRecord, taskId: string): Promise<{ replyId: string; verdict: Verdict } | null> {
    const upload = await findTaskUpload(this.#gateway, { nodeId, taskId });
    if (!upload?.record.verdict) return null;
    const { replyId, verdict } = upload.record;
    return { replyId, verdict };
  }

  async #fail({ node, parameters, body }: SignedCall): Promise<unknown> {
    const { task: text = '' } = parameters;
    const task = await this.#taskOf(node, text);
    await failTask(this.#gateway, task, FAILURE.unknown, (body as { reason: string }).reason);
    this.#finished(node);
    return { failed: true };
  }

  async #consent({ node, body }: SignedCall): Promise<unknown> {
    const { given, version = '', ...about } = body as schemas.RestConsentStatement;
    const to = 'purpose' in about ? `purpose:${about.purpose}` : `run:${about.run}`;
    return consentsAnswer(await stateConsent(this.#gateway, node, { to, version, given }));
  }

  async #stats({ node }: SignedCall): Promise<unknown> {
    const { mailbox, uploads } = this.#gateway;
    const answered = (await uploads.ofNode(node.nodeId)).map(({ task }) => task.runId);
    const runIds = new Set([...mailbox.ofNode(node.nodeId).map(({ runId }) => runId), ...answered]);
    const found = await Promise.all(
      [...runIds].slice(0, MOST_RUNS).map((runId) => listRuns(this.#gateway, { runId, limit: 1, skip: 0 })),
    );
    return { runs: found.flat().map(progressOf) };
  }

  #intake(node: NodeRecord): UpdateIntake {
    const parts = { gateway: this.#gateway, telemetry: this.#telemetry };
    return new UpdateIntake(parts, (taskId) => this.#taskOf(node, taskId));
  }

  async #taskOf(node: NodeRecord, taskId: string): Promise<Task> {
    const task = await findTask(this.#gateway, node.nodeId, readTaskId(taskId));
    if (task.masking || task.secaggplus) throw notMasked();
    return task;
  }

  #finished(node: NodeRecord): void {
    if (this.#gateway.mailbox.open(node.nodeId).length === 0) lookFree(this.#gateway, node);
  }
}

const readTaskId = (text: string): string => {
  if (schemas.taskId.safeParse(text).success) return text;
  throw new AegisError('TASK_NOT_FOUND');
};

const consentsAnswer = (consents: readonly Consent[]): unknown => ({
  consents: consents.map(({ to, version, given, at }) => {
    const [kind = '', ...rest] = to.split(':');
    return { [kind]: rest.join(':'), version, given, at: new Date(at).toISOString() };
  }),
});

const told = (verdict: Verdict): unknown => {
  if (verdict.accepted) return { status: 'accepted', missing: [] };
  throw refused(verdict);
};

const refused = ({ code, detail }: { readonly code: string; readonly detail: string }): AegisError =>
  isErrorCode(code) ? new AegisError(code, detail) : new AegisError('REPLY_MALFORMED', `${code}: ${detail}`);
