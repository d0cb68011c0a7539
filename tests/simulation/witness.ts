import type { AcceptedAnswer } from '../../services/aggregator/src/domain/answer.ts';
import type { RunRecord } from '../../services/aggregator/src/domain/run.ts';
import type { IntakeRoom } from '../../services/aggregator/src/store/contract.ts';
import { decodeDocument } from '../../services/aggregator/src/store/document-text.ts';
import type { BusWrite } from './bus.ts';
import type { GatewayProcess } from './gateway.ts';
import type { Life } from './life.ts';
import type { Manner } from './operations.ts';
import type { Update } from './records.ts';

export type Invariant =
  | 'no internal errors'
  | 'no busy loops'
  | 'own tasks only'
  | 'bad updates are refused'
  | 'a verdict stands'
  | 'one answer per task'
  | 'no answered task again'
  | 'no write by an old owner'
  | 'rounds go forward'
  | 'no acknowledged update lost'
  | 'no update counted twice'
  | 'the model is the mean'
  | 'nobody is asked before it is paid for'
  | 'nobody is asked twice in a tree'
  | 'noise is drawn once'
  | 'what leaves was paid for'
  | 'every run ends'
  | 'nothing left behind';

export interface Violation {
  readonly invariant: Invariant;
  readonly what: string;
}

export interface KnownTask {
  readonly taskId: string;
  readonly room: IntakeRoom;
  readonly nodeId: bigint;
}

/** What a node computed for a task, by the node's own word. */
export interface Learned {
  readonly node: number;
  readonly manner: Manner;
  readonly update: Update;
  readonly from: ReadonlyMap<string, number[]>;
}

type Word = 'accepted' | 'refused' | 'failed';
interface Told {
  readonly content: string;
  readonly word: Word;
  readonly by: Life | undefined;
}

/** What an intake put together: whose answers, and what came of it. */
export interface Mean {
  readonly room: IntakeRoom;
  readonly folded: readonly AcceptedAnswer[];
}

/** What is looked at of a round document, as it is written: decoding all of every one takes too long. */
interface RoundText extends Omit<IntakeRoom, 'runId'> {
  readonly members: { readonly $map: readonly (readonly [string, { readonly nodeId: { readonly $int: string } }])[] };
}

const kindOrder = { 'initial-model': 0, train: 1, evaluate: 2 } as const;

/** Sees what a user of the suite sees, and every write to the bus, and says so the moment two of these do not fit together. */
export class Witness {
  readonly violations: Violation[] = [];
  readonly tasks = new Map<string, KnownTask>();
  readonly told = new Map<string, Told[]>();
  readonly learnt = new Map<string, Learned>();
  readonly means = new Map<string, Mean>();
  readonly runs = new Map<bigint, RunRecord>();
  /** Lines that are the same for the same seed. */
  readonly trace: string[] = [];
  private readonly nodes = new Map<bigint, number>();
  /** Document → the life that wrote it last. */
  private readonly writers = new Map<string, Life>();
  /** When each life last took a run's lease from somebody else. */
  private readonly tookOver = new Map<string, number>();
  private readonly holders = new Map<string, Life>();
  /** How often a run passed from one life of an aggregator to another. */
  takeovers = 0;
  private order = 0;

  fail(invariant: Invariant, what: string): void {
    this.violations.push({ invariant, what });
    this.trace.push(`VIOLATION ${invariant}: ${what}`);
  }

  met(nodeId: bigint, index: number): void {
    this.nodes.set(nodeId, index);
  }

  nodeOf(nodeId: bigint): number {
    return this.nodes.get(nodeId) ?? -1;
  }

  /** Returns the kind of the task. */
  offered(gateway: GatewayProcess, nodeId: bigint, taskId: string): string {
    const task = this.tasks.get(taskId);
    this.trace.push(`offered ${taskId} to node ${this.nodeOf(nodeId)} by ${gateway.life.name}`);
    if (task === undefined) {
      this.fail('own tasks only', `task ${taskId} was offered, but no round has it`);
      return 'train';
    }
    if (task.nodeId !== nodeId)
      this.fail('own tasks only', `node ${this.nodeOf(nodeId)} was offered ${taskId} of another`);
    const before = this.told.get(taskId)?.find((told) => told.by === gateway.life);
    if (before !== undefined) this.fail('no answered task again', `${taskId} was ${before.word} and is offered again`);
    return task.room.kind;
  }

  learned(
    taskId: string,
    node: number,
    content: string,
    manner: Manner,
    update: Update,
    from: ReadonlyMap<string, number[]>,
  ): void {
    this.learnt.set(`${taskId} ${content}`, { node, manner, update, from });
  }

  /** A node was told how its answer fared; `over`: nobody wants it any more. */
  toldTo(
    gateway: GatewayProcess | null,
    taskId: string,
    node: number,
    content: string,
    word: Word | 'over',
    code: string,
  ): void {
    this.trace.push(`node ${node} told ${word} ${code} for ${taskId}`);
    if (word === 'over') return;
    const earlier = this.told.get(taskId) ?? [];
    this.told.set(taskId, [...earlier, { content, word, by: gateway?.life }]);
    const same = earlier.find((told) => told.content === content && told.word !== word);
    if (same !== undefined) this.fail('a verdict stands', `${taskId} was ${same.word}, then ${word} ${code}`);
    const other = earlier.find((told) => told.content !== content && told.word !== 'refused');
    if (other !== undefined && word !== 'refused')
      this.fail('one answer per task', `${taskId} was ${other.word}, then another answer ${word}`);
    const learned = this.learnt.get(`${taskId} ${content}`);
    const kind = this.tasks.get(taskId)?.room.kind ?? 'train';
    if (word === 'accepted' && learned !== undefined && isBad(kind, learned.manner))
      this.fail('bad updates are refused', `${taskId} with ${learned.manner} was accepted`);
    const isNotIts = code === 'TASK_NOT_YOURS' && this.isOfFormerSelf(taskId, node);
    if (word === 'refused' && learned !== undefined && learned.manner === 'honest' && !isNotIts)
      this.fail('a verdict stands', `${taskId}, an honest answer, was refused: ${code}`);
  }

  /** A node that unregistered and came back is another one: what its former self was asked is no task of its own. */
  private isOfFormerSelf(taskId: string, node: number): boolean {
    const ids = [...this.nodes].filter(([, index]) => index === node).map(([nodeId]) => nodeId);
    return this.tasks.get(taskId)?.nodeId !== ids.at(-1);
  }

  mean(room: IntakeRoom, folded: readonly AcceptedAnswer[], modelId: string): void {
    this.trace.push(`mean of ${folded.length} in ${room.kind} ${room.round}.${room.attempt}: ${modelId}`);
    this.means.set(`${room.runId} ${room.kind} ${room.round} ${modelId}`, { room, folded });
    const nodes = folded.map((answer) => answer.nodeId);
    if (new Set(nodes).size < nodes.length)
      this.fail('no update counted twice', `a node counts twice in round ${room.round}`);
  }

  noised(room: IntakeRoom, folded: readonly AcceptedAnswer[], modelId: string): void {
    for (const { room: other } of this.means.values())
      if (
        other.runId === room.runId &&
        other.round === room.round &&
        other.attempt === room.attempt &&
        other.kind === room.kind
      )
        this.fail('noise is drawn once', `attempt ${room.attempt} at round ${room.round} has a second result`);
    this.mean(room, folded, modelId);
  }

  wrote({ by, bucket, key, value }: BusWrite): void {
    this.trace.push(`${by.name} wrote ${bucket}/${key} ${value === null ? 'gone' : value.length}`);
    this.order += 1;
    if (bucket === 'leases') this.leaseWritten(by, key, value);
    if (bucket === 'runs' || bucket === 'rounds') this.documentWritten(by, bucket, key, value);
  }

  private leaseWritten(by: Life, key: string, value: Buffer | null): void {
    if (value === null || this.holders.get(key) === by) return;
    if (this.holders.has(key)) this.takeovers += 1;
    this.holders.set(key, by);
    this.tookOver.set(`${key} ${by.name}`, this.order);
  }

  private documentWritten(by: Life, bucket: 'runs' | 'rounds', key: string, value: Buffer | null): void {
    if (value === null) return;
    const name = `${bucket}/${key}`;
    const before = this.writers.get(name);
    const since = (life: Life): number => this.tookOver.get(`${key} ${life.name}`) ?? 0;
    if (before !== undefined && before !== by && since(by) < since(before))
      this.fail('no write by an old owner', `${by.name} wrote ${name} after ${before.name} had taken over`);
    this.writers.set(name, by);
    if (bucket === 'runs') this.runWritten(decodeDocument<RunRecord>(value));
    else this.roundWritten(BigInt(key), (JSON.parse(value.toString()) as { value: RoundText }).value);
  }

  private roundWritten(runId: bigint, { round, kind, attempt, members }: RoundText): void {
    for (const [taskId, { nodeId }] of members.$map) {
      const known = this.tasks.get(taskId);
      if (known === undefined)
        this.tasks.set(taskId, { taskId, nodeId: BigInt(nodeId.$int), room: { runId, round, kind, attempt } });
      else if (known.room.round !== round || known.room.kind !== kind || known.room.attempt !== attempt)
        this.fail('rounds go forward', `task ${taskId} moved to ${kind} ${round}.${attempt}`);
    }
  }

  private runWritten(run: RunRecord): void {
    const before = this.runs.get(run.runId);
    this.runs.set(run.runId, run);
    if (before === undefined) return;
    if (before.state === 'finished')
      this.fail('rounds go forward', `run ${run.runId} was written after it had finished`);
    if (position(run) < position(before))
      this.fail('rounds go forward', `run ${run.runId} went from ${position(before)} to ${position(run)}`);
    for (const [at, summary] of before.history.entries())
      if (run.history[at]?.modelId !== summary.modelId)
        this.fail('rounds go forward', `round ${summary.round} of run ${run.runId} has another model now`);
  }
}

/** Where a run stands, as a number that only grows. */
const position = ({ phase, round, state }: RunRecord): number =>
  state === 'finished' ? Number.POSITIVE_INFINITY : (phase?.round ?? round) * 3 + kindOrder[phase?.kind ?? 'train'];

const refusedManners: Record<string, readonly Manner[]> = {
  train: ['weight', 'nan', 'shape', 'missing'],
  evaluate: ['weight'],
  'initial-model': ['nan'],
};

export const isBad = (kind: string, manner: Manner): boolean => refusedManners[kind]?.includes(manner) ?? false;
