import { createHash } from 'node:crypto';
import {
  type Advert,
  type CertifiedAdvert,
  MaskedSum,
  MaskRemoval,
  type OpenedSum,
  type SealedShares,
  type Terms,
  type UnmaskRequest,
} from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import type { Verdict } from '../domain/answer.ts';
import { type Masking, type Stage, termsOf } from '../domain/masking.ts';
import type { App, RunFacts, Task } from '../domain/task.ts';
import { gridOf } from '../flows/masked-grid.ts';
import type { Signing } from '../flows/signing.ts';
import type { StageRequest, Submission, Upstream } from '../peers/contract.ts';
import { HonestPeers, type NamedAdvert } from './honest-peers.ts';

export const GUARD_NODE = 9n;

/** What a lying server makes of a request before it sends it. */
// biome-ignore lint/suspicious/noExplicitAny: a lie has any form
export type Tamper = Partial<Record<Stage, (request: any, server: MaskedServer) => unknown>>;

interface Round {
  readonly task: Task;
  readonly peers: HonestPeers;
  adverts: CertifiedAdvert[];
  survivors: string[];
  dropped: string[];
  vectors: Buffer[];
  asked: UnmaskRequest | null;
  /** By the stage that was answered: the same again is answered the same. */
  readonly next: Map<Stage, Promise<{ stage: Stage; request: unknown } | null>>;
}

const now = (): number => Math.floor(Date.now() / 1000);

const FAB = Buffer.from('PK an app');
export const APP_HASH = createHash('sha256').update(FAB).digest('hex');

/**
 * Gateway, aggregator and secagg service in one, towards one guard: the real protocol, with honest peers on the core's own state machines.
 * It lies where the test says so, and keeps whatever it is told.
 */
export class MaskedServer implements Upstream {
  readonly maxPartBytes = 64;
  /** What the guard is given as the task's model. */
  given: Buffer;
  readonly parts = new Map<string, Buffer>();
  readonly said: { taskId: string; stage: Stage; answer: string }[] = [];
  /** Stages of which this guard said two different things: there must be none, whatever ends in between. */
  readonly secondAnswers: Stage[] = [];
  readonly submitted: Submission[] = [];
  readonly failed: { taskId: string; code: number; reason: string }[] = [];
  readonly opened: OpenedSum[] = [];
  /** What every peer contributes. */
  peersGive: { tensors: number[][]; metrics: number[] } = { tensors: [], metrics: [] };
  tamper: Tamper = {};
  /** A stage that is asked where another one is due. */
  asksInstead: Partial<Record<Stage, Stage>> = {};
  /** Survivors that the others are told of, where it is another story than this guard's. */
  othersConfirm: string[] | null = null;
  /** What peers are told they start from, where it is not the task's model. */
  peersModel: string | null = null;
  verdict: Verdict = { accepted: true, code: '', detail: '' };
  /** Peers that say nothing more once they have shared. */
  dropping: string[] = [];
  appId = 'my/app';
  /** Called before a stage is served; throw to be away. */
  before: (stage: Stage) => void | Promise<void> = () => {};
  readonly #vector = Promise.withResolvers<Buffer>();
  readonly #node: bigint;
  readonly #signings: ReadonlyMap<string, Signing>;
  readonly #rounds = new Map<string, Round>();
  readonly #fab = FAB;

  constructor(signings: ReadonlyMap<string, Signing>, model: Buffer, node = GUARD_NODE) {
    this.#node = node;
    this.#signings = signings;
    this.given = model;
  }

  /** The task and its round are there for this guard. */
  open(task: Task): void {
    if (task.masking === null) return;
    const terms: Terms = termsOf(task.runId, task.masking);
    const peers = new HonestPeers(terms, this.#signings);
    this.#rounds.set(task.taskId, {
      task,
      peers,
      adverts: [],
      survivors: [],
      dropped: [],
      vectors: [],
      asked: null,
      next: new Map(),
    });
  }

  async nodeId() {
    return this.#node;
  }

  async connected() {}

  async run(runId: bigint): Promise<RunFacts> {
    const appHash = createHash('sha256').update(this.#fab).digest('hex');
    return { ...{ runId, seriesId: 1n, appId: this.appId, appVersion: '1', appHash }, overrides: [], federation: '' };
  }

  async app(runId: bigint): Promise<App> {
    const { appHash } = await this.run(runId);
    return { appHash, verifications: {}, fab: this.#fab };
  }

  async *model(_taskId: string, _bytes: number) {
    yield { offset: 0, content: this.given };
  }

  accepted() {}

  async begin(_taskId: string, partIds: readonly string[]) {
    return partIds.filter((partId) => !this.parts.has(partId));
  }

  async part(_taskId: string, partId: string, content: Buffer) {
    this.parts.set(partId, Buffer.from(content));
  }

  async submit(submission: Submission) {
    this.submitted.push(submission);
    this.takeVector(Buffer.concat(submission.masked.map(({ partId }) => this.parts.get(partId) ?? Buffer.alloc(0))));
    return this.verdict;
  }

  /** This guard's, however it came. */
  takeVector(vector: Buffer): void {
    this.#vector.resolve(vector);
  }

  fail(taskId: string, code: number, reason: string) {
    this.failed.push({ taskId, code, reason });
  }

  async stage(taskId: string, stage: Stage, answer: string): Promise<StageRequest | null> {
    await this.before(stage);
    const round = this.#rounds.get(taskId);
    if (!round) throw new AegisError('SECAGG_ROUND_OVER');
    const first = this.said.find((one) => one.taskId === taskId && one.stage === stage);
    if (first && first.answer !== answer) this.secondAnswers.push(stage);
    if (!first) this.said.push({ taskId, stage, answer });
    const next = first ? await round.next.get(stage) : await this.#serve(round, stage, answer);
    if (!next) return null;
    const change = this.tamper[next.stage];
    const request = change ? await change(structuredClone(next.request), this) : next.request;
    return { stage: this.asksInstead[next.stage] ?? next.stage, request: JSON.stringify(request) };
  }

  #serve(round: Round, stage: Stage, answer: string) {
    const next = this.#next(round, stage, answer);
    round.next.set(stage, next);
    return next;
  }

  async #next(round: Round, stage: Stage, answer: string): Promise<{ stage: Stage; request: unknown } | null> {
    const { task, peers } = round;
    const terms = peers.digest;
    const masking = task.masking as Masking;
    switch (stage) {
      case 'advertise': {
        const adverts: NamedAdvert[] = [...peers.adverts(), JSON.parse(answer)];
        round.adverts = adverts.map(({ advert, certificate }) => this.#certified(advert, certificate));
        return { stage: 'share', request: { terms, adverts } };
      }
      case 'share': {
        const shares: SealedShares = JSON.parse(answer);
        await peers.share(round.adverts, shares);
        return { stage: 'mask', request: { terms, shares: peers.sharesFor(`${this.#node}`) } };
      }
      case 'mask': {
        for (const node of this.dropping) peers.drop(node);
        round.vectors = await peers.mask(this.modelId(task), gridOf(task, masking), this.peersGive);
        round.dropped = this.dropping;
        round.survivors = [...peers.nodes, `${this.#node}`];
        return { stage: 'confirm', request: { terms, survivors: round.survivors } };
      }
      case 'confirm': {
        const told = this.othersConfirm ?? round.survivors;
        const confirmations = [...(await peers.confirm(told)), JSON.parse(answer)];
        const { survivors, dropped } = round;
        round.asked = { terms, survivors, dropped, confirmations };
        return { stage: 'unmask', request: round.asked };
      }
      case 'unmask': {
        const grid = gridOf(task, masking);
        const sum = MaskedSum.create(peers.terms);
        for (const packed of [...round.vectors, await this.#vector.promise]) await sum.add(packed);
        const { adverts, survivors, dropped, asked } = round;
        const removal = MaskRemoval.create(peers.terms, adverts, now(), this.modelId(task), survivors, dropped);
        for (const opened of [...(await peers.unmask(asked as UnmaskRequest)), JSON.parse(answer)])
          removal.take(opened);
        this.opened.push(await sum.open(grid, survivors.length, await removal.totalMask()));
        return null;
      }
    }
  }

  /** As the server would say it; peers believe it. */
  modelId({ model }: Task): string {
    return this.peersModel ?? model?.modelId ?? '';
  }

  #certified(advert: Advert, certificate: string): CertifiedAdvert {
    const [anyone] = this.#signings.values();
    if (!anyone) throw new Error('there are peers');
    const { subject, keyPem } = anyone.open(certificate, Date.now());
    return { advert, subject, signingKey: keyPem };
  }
}
