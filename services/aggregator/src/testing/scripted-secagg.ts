// The secagg service for tests: it relays what nodes say and expands their masks with the core's own arithmetic. Whom it does not wait for,
// the test says. Its rounds outlive the aggregator, as those of the real one do.
import {
  type CertifiedAdvert,
  type Confirmation,
  MaskRemoval,
  type OpenedShares,
  type RosterRequest,
  type SealedShares,
  type ShareDelivery,
  type SurvivorList,
  termsDigest,
  type UnmaskRequest,
} from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { termsOf } from '../domain/masking.ts';
import type { MaskedAttempt, MaskedRef, Secagg, Sharing, TotalMask } from '../peers/contract.ts';

export const NOW = 1_000;

/** What is said in one stage, node by node, and the promise that everybody who is waited for has said it. */
class StageRoom<T> {
  readonly said = new Map<bigint, T>();
  readonly settled = Promise.withResolvers<void>();
  private readonly expected: () => readonly bigint[];

  constructor(expected: () => readonly bigint[]) {
    this.expected = expected;
    this.settled.promise.catch(() => {});
  }

  say(node: bigint, what: T): void {
    this.said.set(node, what);
    this.look();
  }

  look(): void {
    if (this.expected().every((node) => this.said.has(node))) this.settled.resolve();
  }
}

class ScriptedRound {
  readonly attempt: MaskedAttempt;
  readonly adverts: StageRoom<CertifiedAdvert>;
  readonly shares: StageRoom<SealedShares>;
  readonly confirmations: StageRoom<Confirmation>;
  readonly openings: StageRoom<OpenedShares>;
  readonly named = Promise.withResolvers<void>();
  survivors: readonly bigint[] | null = null;
  ended: string | null = null;

  constructor(attempt: MaskedAttempt, isAbsent: (node: bigint, stage: Stage) => boolean) {
    this.attempt = attempt;
    const cohort = attempt.cohort.map(({ nodeId }) => nodeId);
    const present = (nodes: readonly bigint[], ...stages: Stage[]) =>
      nodes.filter((node) => !stages.some((stage) => isAbsent(node, stage)));
    this.adverts = new StageRoom(() => present(cohort, 'advertise'));
    this.shares = new StageRoom(() => present(cohort, 'advertise', 'share'));
    this.confirmations = new StageRoom(() => present(this.survivors ?? cohort, 'confirm'));
    this.openings = new StageRoom(() => present(this.survivors ?? cohort, 'confirm', 'unmask'));
    this.named.promise.catch(() => {});
  }

  get digest(): string {
    return termsDigest(termsOf(this.attempt.runId, this.attempt.masking));
  }

  /** Ends for everybody where fewer are left than may be summed. */
  demand(left: number, what: string): void {
    if (left >= this.attempt.masking.minSurvivors) return;
    const error = new AegisError('SECAGG_TOO_FEW', `${left} ${what}.`);
    this.fail(error);
    throw error;
  }

  fail(error: AegisError): void {
    this.ended = error.message;
    for (const room of [this.adverts, this.shares, this.confirmations, this.openings]) room.settled.reject(error);
    this.named.reject(error);
  }
}

export type Stage = 'advertise' | 'share' | 'confirm' | 'unmask';

export class ScriptedSecagg implements Secagg {
  /** What the aggregator did, in order: "open 261", … */
  readonly deeds: string[] = [];
  readonly rounds = new Map<string, ScriptedRound>();
  /** Who is not waited for, and when. */
  isAbsent: (node: bigint, stage: Stage, round: number) => boolean = () => false;
  /** Changes the total mask on its way. */
  tamper: (mask: Buffer) => Buffer = (mask) => mask;

  async open(attempt: MaskedAttempt): Promise<void> {
    this.deeds.push(`open ${attempt.round}`);
    const known = this.rounds.get(nameOf(attempt));
    const content = ({ traceparent: _, ...rest }: MaskedAttempt) => JSON.stringify(rest, plain);
    if (known === undefined)
      this.rounds.set(
        nameOf(attempt),
        new ScriptedRound(attempt, (node, stage) => this.isAbsent(node, stage, attempt.round)),
      );
    else if (known.ended !== null) throw new AegisError('SECAGG_ROUND_OVER', known.ended);
    else if (content(known.attempt) !== content(attempt)) throw new AegisError('SECAGG_KEY_CONFLICT');
  }

  async awaitSharing(ref: MaskedRef, signal: AbortSignal): Promise<Sharing | null> {
    const round = this.of(ref);
    await orAborted(round.shares.settled.promise, signal);
    const cohort = round.attempt.cohort.map(({ nodeId }) => nodeId);
    const participants = cohort.filter((node) => round.shares.said.has(node));
    round.demand(participants.length, 'shared their keys');
    const excluded = cohort
      .filter((node) => !participants.includes(node))
      .map((nodeId) => ({ nodeId, reason: 'no advert came in time' }));
    return { participants, excluded };
  }

  async unmask(ref: MaskedRef, survivors: readonly bigint[], signal: AbortSignal): Promise<TotalMask> {
    this.deeds.push(`unmask ${ref.round} ${survivors.join(' ')}`);
    const round = this.of(ref);
    round.survivors ??= survivors;
    if (round.survivors.join() !== survivors.join()) throw new AegisError('SECAGG_KEY_CONFLICT');
    round.named.resolve();
    for (const room of [round.confirmations, round.openings]) room.look();
    await orAborted(round.openings.settled.promise, signal);
    const { masking, modelId, runId } = round.attempt;
    const removal = MaskRemoval.create(
      termsOf(runId, masking),
      [...round.adverts.said.values()],
      NOW,
      modelId,
      survivors.map(String),
      droppedOf(round),
    );
    for (const opened of round.openings.said.values()) removal.take(opened);
    if (!removal.isPossible) {
      const error = new AegisError('SECAGG_TOO_FEW', 'Too few opened their shares.');
      round.fail(error);
      throw error;
    }
    return {
      confirmed: [...round.confirmations.said.keys()],
      opened: [...round.openings.said.keys()],
      mask: this.tamper(await removal.totalMask()),
    };
  }

  async end(ref: MaskedRef, reason: string, _signal?: AbortSignal): Promise<void> {
    this.deeds.push(`end ${ref.round}`);
    const round = this.rounds.get(nameOf(ref));
    if (round === undefined || round.ended !== null) return;
    round.fail(new AegisError('SECAGG_ROUND_OVER', reason || 'It has ended.'));
  }

  // --- what a node says, through its gateway ------------------------------------------------------------------------------

  async advertise(ref: MaskedRef, node: bigint, advert: CertifiedAdvert): Promise<RosterRequest> {
    const round = this.of(ref);
    round.adverts.say(node, advert);
    await round.adverts.settled.promise;
    round.demand(round.adverts.said.size, 'advertised');
    return { terms: round.digest, adverts: [...round.adverts.said.values()] };
  }

  async share(ref: MaskedRef, node: bigint, sealed: SealedShares): Promise<Omit<ShareDelivery, 'model'>> {
    const round = this.of(ref);
    round.shares.say(node, sealed);
    await round.shares.settled.promise;
    const shares = [...round.shares.said.values()].flatMap((answer) =>
      answer.shares
        .filter(({ peer }) => peer === String(node))
        .map((share) => ({ peer: answer.node, sealed: share.sealed })),
    );
    return { terms: round.digest, shares };
  }

  /** After its vector. */
  async survivors(ref: MaskedRef): Promise<SurvivorList> {
    const round = this.of(ref);
    await round.named.promise;
    return { terms: round.digest, survivors: (round.survivors ?? []).map(String) };
  }

  async confirm(ref: MaskedRef, node: bigint, confirmation: Confirmation): Promise<UnmaskRequest> {
    const round = this.of(ref);
    round.confirmations.say(node, confirmation);
    await round.confirmations.settled.promise;
    const survivors = (round.survivors ?? []).map(String);
    const confirmations = [...round.confirmations.said.values()];
    return { terms: round.digest, survivors, dropped: droppedOf(round), confirmations };
  }

  hand(ref: MaskedRef, node: bigint, opened: OpenedShares): void {
    this.of(ref).openings.say(node, opened);
  }

  /** Somebody is not waited for any more. */
  look(): void {
    for (const { adverts, shares, confirmations, openings, survivors } of this.rounds.values()) {
      for (const room of [adverts, shares]) room.look();
      if (survivors !== null) for (const room of [confirmations, openings]) room.look();
    }
  }

  private of(ref: MaskedRef): ScriptedRound {
    const round = this.rounds.get(nameOf(ref));
    if (round === undefined) throw new AegisError('SECAGG_ROUND_OVER', 'Nobody opened it.');
    if (round.ended !== null) throw new AegisError('SECAGG_ROUND_OVER', round.ended);
    return round;
  }
}

const nameOf = ({ runId, round }: MaskedRef): string => `${runId}/${round}`;

const droppedOf = ({ shares, survivors }: ScriptedRound): string[] =>
  [...shares.said.keys()].filter((node) => !survivors?.includes(node)).map(String);

const plain = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', abort));
}
