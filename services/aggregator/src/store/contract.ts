// What the aggregator keeps. Coordination (runs, rounds, plans, versions, leases) is small and compared before it is set;
// bulk (bundles, parts, models) lies sealed in files. Every implementation passes store/conformance.ts.
import type { AcceptedAnswer, PartSlice, TensorSource } from '../domain/answer.ts';
import type { Removal } from '../domain/flower-secagg/removal.ts';
import type { FlowerTerms } from '../domain/flower-secagg/terms.ts';
import type { Masking } from '../domain/masking.ts';
import type { ModelFormat, ModelInfo, ModelVersion } from '../domain/model.ts';
import type { TaskKind } from '../domain/plan.ts';
import type { RecordDialect } from '../domain/record-dialect.ts';
import type { RoundState } from '../domain/round.ts';
import type { RunRecord } from '../domain/run.ts';
import type { ConfigEntry } from '../domain/scalar.ts';
import type { Verdict } from '../domain/verdict.ts';

export interface Stores {
  readonly runs: RunStore;
  readonly rounds: RoundStore;
  readonly leases: LeaseStore;
  readonly apps: AppStore;
  readonly plans: PlanStore;
  readonly imports: ImportStore;
  readonly models: ModelStore;
  readonly intakes: IntakeStore;
  close(): Promise<void>;
}

/** A value and the revision that its next write must name. */
export interface Kept<T> {
  readonly value: T;
  readonly revision: number;
}

/** Somebody else wrote since; what the writer knew is out of date. */
export class StaleWrite extends Error {
  constructor(what: string, cause?: unknown) {
    super(`${what} was written by someone else`, { cause });
    this.name = 'StaleWrite';
  }
}

/** All writes return the new revision; a wrong `revision` is a StaleWrite. Null means "does not exist yet". */
export interface RunStore {
  get(runId: bigint): Promise<Kept<RunRecord> | null>;
  save(run: RunRecord, revision: number | null): Promise<number>;
  list(): Promise<RunRecord[]>;
}

/** The phase under way of each run. */
export interface RoundStore {
  get(runId: bigint): Promise<Kept<RoundState> | null>;
  save(state: RoundState, revision: number | null): Promise<number>;
  delete(runId: bigint): Promise<void>;
}

/** What a lease says. */
export interface LeaseTerms {
  readonly runId: bigint;
  /** '' = nobody's. */
  readonly owner: string;
  /** Where the owner answers, host:port; '' = where everybody is asked. */
  readonly address: string;
  /** The state directory that has the run's intake and models: only who sees the same one can go on with the run. */
  readonly volume: string;
  /** Grows by one with every taking over, renewals keep it: two owners never have the same one, nor one owner before and after. */
  readonly epoch: number;
}

export interface Lease extends LeaseTerms {
  readonly revision: number;
}

/**
 * Who drives which run: one lease for each run that is not finished, so that finding those takes no look at all the others. Its
 * revision grows with every write; a holder renews by taking it again.
 */
export interface LeaseStore {
  get(runId: bigint): Promise<Lease | null>;
  take(terms: LeaseTerms, revision: number | null): Promise<number>;
  /** The run is finished. */
  remove(runId: bigint, revision: number): Promise<void>;
  list(): Promise<Lease[]>;
}

export interface AppRecord {
  readonly hash: string;
  readonly digest: string;
  readonly appId: string;
  readonly version: string;
  readonly config: readonly ConfigEntry[];
  readonly detectedDialect: RecordDialect | null;
}

export interface AppStore {
  /** The bundle is kept byte for byte. */
  put(app: AppRecord, fab: Uint8Array): Promise<void>;
  get(hash: string): Promise<AppRecord | null>;
  fab(hash: string): Promise<Buffer | null>;
}

export interface PlanRecord {
  readonly appHash: string;
  readonly appDigest: string;
  readonly appId: string;
  /** As captured; see domain/captured-plan.ts. */
  readonly json: string;
  readonly modelId: string | null;
  readonly importedAt: number;
}

export interface PlanStore {
  put(plan: PlanRecord): Promise<void>;
  /** By the bundle's hash, else by the app's digest. */
  find(appHash: string, appDigest: string): Promise<PlanRecord | null>;
}

/** Models that people brought. What runs made is read off their records. */
export interface ImportStore {
  put(version: ModelVersion): Promise<void>;
  named(name: string): Promise<ModelVersion | null>;
  list(): Promise<ModelVersion[]>;
}

/** Sealed models by content. Putting the same one twice keeps one. */
export interface ModelStore {
  /** MODEL_MALFORMED when the file is not what it should be, or would unpack to more than `maxBytes`. */
  import(format: ModelFormat, bytes: Uint8Array, maxBytes: number): Promise<ModelInfo>;
  /** The same arrays under new names, in order. */
  rename(modelId: string, names: readonly string[]): Promise<ModelInfo>;
  get(modelId: string): Promise<ModelInfo | null>;
  read(modelId: string, offset: number, length: number): Promise<Buffer>;
  /** Nobody needs it any more. One that is gone already is fine. */
  remove(modelId: string): Promise<void>;
  /** The file in pieces; whatever it took on disk is gone when the iteration ends, however it ends. */
  export(modelId: string, format: ModelFormat): AsyncIterable<Buffer>;
}

/** One cohort's answers: one room per run, round, kind and attempt. */
export interface IntakeRoom {
  readonly runId: bigint;
  readonly round: number;
  readonly kind: TaskKind;
  readonly attempt: number;
}

/**
 * Each epoch of a run's lease writes apart from those before it. Opening a room fixes, durably, how much of every earlier epoch counts:
 * all that was durable then. What a paused owner makes durable later is counted by nobody.
 */
export interface IntakeStore {
  /**
   * Opens or re-opens; whatever was acknowledged under this epoch or an earlier one is there. One opener of an epoch at a time.
   * UNAVAILABLE when a later epoch has opened the room. `model`: what nodes start from.
   */
  open(room: IntakeRoom, model: ModelInfo | null, epoch: number): Promise<RoundIntake>;
  /** Removes a room and what was in it, unless a later epoch has opened it. */
  remove(room: IntakeRoom, epoch: number): Promise<void>;
  /** Runs that have rooms here. */
  runs(): Promise<bigint[]>;
  /** Removes every room of a run, which is finished. */
  removeRun(runId: bigint): Promise<void>;
}

/** The same in every call about a room. */
export interface FoldRules {
  /** Greatest L2 norm of one update, over all its float arrays together. */
  readonly clip: number;
  /** An update counts min(weight, weightMax) ÷ weightMax; null: each counts 1. */
  readonly weightMax: number | null;
}

export interface RoundNoise extends FoldRules {
  /** σ over the clip. */
  readonly update: number;
  /** σ of the noise on `clipBits`; null: no such sum leaves. */
  readonly bit: number | null;
  readonly clipBits: number;
  readonly denominator: number;
  /**
   * The noise is that of a leaf, from 1, of the run's tree of this number, from 0, less that of the leaf before; not with `bit`. Made from a secret that the first
   * leaf of tree 0 draws and the run keeps: the same leaf gets the same noise in whatever room. PRIVACY_NOISE_LOST where the secret is gone;
   * PRIVACY_NOISE_USED where the leaf's noise went into another room's sum.
   */
  readonly tree?: { readonly tree: number; readonly leaf: number } | undefined;
}

export interface NoisedRound {
  readonly model: ModelInfo;
  readonly clipBits: number | null;
}

/** The answers of one private round. */
export interface PrivateFold {
  /**
   * Adds the update's difference from the model that nodes started from, clipped as a whole; says whether it had to be. Repeated and in
   * any order the sum is the same to the bit, and its sensitivity to one update is provably at most the clip.
   */
  add(answer: AcceptedAnswer, rules: FoldRules): Promise<{ clipped: boolean }>;
  /**
   * The start model plus the noised sum over the denominator, as a stored model. Noise is drawn once in a room: it is sealed before this
   * resolves, and whoever asks again, in this process or after a crash, gets the same.
   */
  writeNoised(noise: RoundNoise): Promise<NoisedRound>;
  /** Something noised is sealed here. */
  hasNoised(): Promise<boolean>;
}

/** What a masked answer is made of, in every call about a room the same. */
export interface MaskedTerms {
  readonly runId: bigint;
  readonly masking: Masking;
}

/** What came out of the masks. */
export interface OpenedSum {
  /** What the nodes started from, moved by the weighted mean difference; null where no arrays travelled. */
  readonly model: ModelInfo | null;
  /** Weighted means, in the order of the terms. */
  readonly metrics: readonly number[];
  readonly weight: number;
}

/** The answers of one masked round: one vector in memory, however many there are. */
export interface MaskedFold {
  /** Whether the slices can be a vector of these terms: parts there, length and last bits right. More nobody can see of it. */
  check(slices: readonly PartSlice[], terms: MaskedTerms): Promise<Verdict>;
  /** Adds a vector modulo 2^bits; the order does not matter. */
  add(answer: AcceptedAnswer, terms: MaskedTerms): Promise<void>;
  /**
   * Takes the total mask away and checks what is left before anything of it is used: SECAGG_SUM unless it is the sum of that many honest
   * vectors. With a divisor tensors are divided by that, and not by the weight of who came. May be asked again after a failure.
   */
  open(
    mask: Uint8Array,
    survivors: number,
    terms: MaskedTerms & { readonly divisor?: number | undefined },
  ): Promise<OpenedSum>;
}

export type VectorSlices = readonly (readonly PartSlice[])[];

/** The answers of one round of Flower's SecAgg+: in memory the sum and one vector on its way, however many there are. */
export interface FlowerFold {
  /** Whether it is a vector of these terms: all its arrays there, with the shapes of the model, below the modulus. */
  check(arrays: VectorSlices, terms: FlowerTerms): Promise<Verdict>;
  /** Adds a vector; the order does not matter. */
  add(arrays: VectorSlices, terms: FlowerTerms): Promise<void>;
  /**
   * Takes the masks away and keeps the weighted mean as a model, in the types of the one that nodes started from. SECAGG_SUM for shares that
   * give no secret, and for a sum that its nodes cannot have sent. May be asked again after a failure.
   */
  open(removal: Removal, terms: FlowerTerms): Promise<ModelInfo>;
}

export interface RoundIntake {
  has(part: string): boolean;
  /**
   * Resolves when the part is durable. PART_HASH unless its SHA-256 is `part`; repeated parts cost nothing. UNAVAILABLE when a
   * later epoch is seen to have taken over; who is told "durable" must still make sure that none has (flows/tenure.ts).
   */
  append(part: string, content: Uint8Array): Promise<{ deduplicated: boolean }>;
  /** Its first `length` bytes, or all of it; null when it is not here. */
  read(part: string, length?: number): Promise<Buffer | null>;
  /** Looks at the tensors: names, shapes, dtypes, finite values. Counts nothing. */
  check(tensors: readonly TensorSource[]): Promise<{ verdict: Verdict; norm: number }>;
  /** Resolves when the acceptance is durable. */
  record(answer: AcceptedAnswer): Promise<void>;
  recorded(): Promise<AcceptedAnswer[]>;
  /** Adds weight × update to the running sum; the order of adding does not change a bit of the result. */
  fold(answer: AcceptedAnswer): Promise<void>;
  /** The weighted mean of what was folded, as a stored model. */
  writeMean(): Promise<ModelInfo>;
  /** The private fold of the same answers. */
  readonly privately: PrivateFold;
  /** The masked fold of the same answers. */
  readonly masked: MaskedFold;
  /** The fold of answers that Flower's SecAgg+ masked. */
  readonly flower: FlowerFold;
  /** The arrays of one answer, as they are, as a stored model. */
  writeFirst(answer: AcceptedAnswer): Promise<ModelInfo>;
  close(): Promise<void>;
}
