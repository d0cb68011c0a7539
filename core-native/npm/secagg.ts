/**
 * Secure aggregation in the core: the state machine of a node, and the two servers' arithmetic. `docs/secure-aggregation.md` has the
 * protocol; who may ask what, and why a node refuses, is decided in Rust.
 *
 * Ids and counters are decimal strings and bytes are hexadecimal, as in the messages themselves: JSON carries them unchanged.
 */

import type {
  RawMaskedSum,
  RawMaskRemoval,
  RawOpenedSum,
  RawSecaggClient,
  RawSecaggGrid,
  RawSecaggRoster,
  RawSigningKey,
} from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, CoreError, calling } from './core-error.ts';
import { type IntakeLog, rawLog } from './intake-log.ts';
import { type ModelFile, type ModelInfo, rawModel } from './model-file.ts';
import { type DataKey, rawKey } from './sealing.ts';
import type { PartSlice, TensorSpec } from './tensors.ts';

// ---- messages, round by round

/** What a round is about, the same for every node; its digest is in everything that is signed or derived. */
export interface Terms {
  run: string;
  round: string;
  /** SHA-256 of the plan. */
  plan: string;
  /** Neighbours of each node; cohort − 1 is the complete graph. */
  degree: number;
  /** Shares that open a secret. */
  threshold: number;
  /** Fewest nodes whose sum may be opened. */
  minSurvivors: number;
  /** Modulus 2^bits. */
  bits: number;
  /** Elements of a masked vector: {@link Grid.length}. */
  length: string;
}

/** What every request of a round names. */
export function termsDigest(terms: Terms): string {
  return calling(() => binding.secaggTermsDigest(JSON.stringify(terms)));
}

/** A typed value as apps are told it. */
export interface PlanEntry {
  readonly key: string;
  readonly value: { readonly kind: string; readonly value: PlanValue | readonly PlanValue[] };
}
type PlanValue = number | bigint | boolean | string | Uint8Array;

/** What a node of a masked round is asked, besides the terms. */
export interface MaskedPlan {
  readonly run: bigint;
  readonly kind: string;
  /** Of the terms. */
  readonly round: bigint;
  readonly cohort: number;
  readonly grid: GridOptions;
  /** What weighs weightMax; 0 where nobody counts. */
  readonly maxExamples: number;
  readonly layout: {
    readonly dialect: string;
    readonly arrayRecordKey: string;
    readonly configRecordKey: string;
    readonly weightedByKey: string;
  };
  readonly config: readonly PlanEntry[];
  readonly appHash: string;
  /** In any order. */
  readonly overrides: readonly PlanEntry[];
}

/**
 * What {@link Terms.plan} names a plan by. Every node puts the plan together out of its own task and compares: so no two nodes of a round
 * were asked two different things.
 */
export function planDigest({ run, round, layout, config, overrides, ...plan }: MaskedPlan): string {
  const { dialect, arrayRecordKey, configRecordKey, weightedByKey } = layout;
  const text = JSON.stringify({
    ...plan,
    run: String(run),
    round: String(round),
    layout: { dialect, arrayRecordKey, configRecordKey, weightedByKey },
    config: config.map(plainEntry),
    overrides: overrides.map(plainEntry),
  });
  return calling(() => binding.secaggPlanDigest(text));
}

const plainEntry = ({ key, value: { kind, value } }: PlanEntry) => ({
  key,
  value: { [kind]: isList(value) ? value.map(plain) : plain(value) },
});

const isList = (value: PlanValue | readonly PlanValue[]): value is readonly PlanValue[] => Array.isArray(value);

/** As the core reads it in JSON: a real by its bits, so that it is the same number everywhere. */
const plain = (value: PlanValue): string | boolean => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'number') return value;
  const bits = Buffer.alloc(8);
  bits.writeDoubleBE(value);
  return bits.toString('hex');
};

/** Round 0, answer. */
export interface Advert {
  node: string;
  channelKey: string;
  maskKey: string;
  /** Seconds since 1970. */
  expires: string;
  signature: string;
}

/** An advert with what its certificate says; whoever hands it in has verified the certificate. `signingKey` is in PEM. */
export interface CertifiedAdvert {
  advert: Advert;
  subject: string;
  signingKey: string;
}

/** Round 1, request. `terms` is {@link termsDigest} in this and every later request. */
export interface RosterRequest {
  terms: string;
  adverts: CertifiedAdvert[];
}

/** A sealed pair of shares with the other end: the receiver in an answer, the sender in a request. */
export interface SealedShare {
  peer: string;
  sealed: string;
}

/** Round 1, answer. */
export interface SealedShares {
  node: string;
  shares: SealedShare[];
}

/** Round 2, request; the answer is the masked vector. */
export interface ShareDelivery {
  terms: string;
  /** SHA-256 of the model the update starts from. */
  model: string;
  shares: SealedShare[];
}

/** Round 3, request. */
export interface SurvivorList {
  terms: string;
  survivors: string[];
}

/** Round 3, answer. */
export interface Confirmation {
  node: string;
  survivors: string;
  model: string;
  signature: string;
}

/** Round 4, request. */
export interface UnmaskRequest {
  terms: string;
  survivors: string[];
  dropped: string[];
  confirmations: Confirmation[];
}

export interface OpenedShare {
  of: string;
  share: string;
}

/** Round 4, answer. */
export interface OpenedShares {
  node: string;
  seeds: OpenedShare[];
  keys: OpenedShare[];
}

/** Why a node does not go on: `detail.reason` of a SECAGG_REFUSED. */
export const REFUSALS = [
  'COHORT_BELOW_FLOOR',
  'THRESHOLD_BELOW_FLOOR',
  'SURVIVORS_BELOW_FLOOR',
  'NODE_TWICE',
  'SUBJECT_TWICE',
  'KEY_TWICE',
  'KEY_SUBSTITUTED',
  'KEY_UNUSABLE',
  'ADVERT_UNSIGNED',
  'ADVERT_EXPIRED',
  'UNKNOWN_NODE',
  'SHARE_TWICE',
  'SHARE_BROKEN',
  'SHARE_MISSING',
  'TOO_FEW_SHARES',
  'NOT_AMONG_SURVIVORS',
  'IN_BOTH_LISTS',
  'SECOND_SURVIVOR_SET',
  'SURVIVORS_DIFFER',
  'MODEL_DIFFERS',
  'CONFIRMATION_UNSIGNED',
  'TOO_FEW_CONFIRMATIONS',
  'OTHER_ROUND',
  'SECOND_REQUEST',
  'GOING_BACK',
  'OUT_OF_ORDER',
  'ANSWERED_BEFORE',
  'ENDED',
  'STATE_LOST',
  'VECTOR_MISMATCH',
] as const;
export type Refusal = (typeof REFUSALS)[number];

/** The reason of a refusal; undefined of any other error. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof CoreError) || error.code !== 'SECAGG_REFUSED') return undefined;
  return REFUSALS.find((refusal) => refusal === error.detail.reason);
}

// ---- parameters

/** Log2 of the probability of each thing that can go wrong; null where nothing is left to chance. */
export interface Risks {
  both_secrets: number | null;
  too_few_shares: number | null;
  cut_by_chance: number | null;
  cut_on_purpose: number | null;
  total: number | null;
}

export interface Parameters {
  cohort: number;
  assumed: { dropouts: number; colluders: number };
  dropouts: number;
  colluders: number;
  degree: number;
  threshold: number;
  min_survivors: number;
  risks: Risks;
}

/**
 * Who masks with whom and how many shares open a secret, with a total risk of at most 2^-40 for the fractions assumed.
 * SECAGG_PARAMETERS, with the arithmetic, where that cannot be reached.
 */
export async function chooseParameters(
  cohort: number,
  assumed: { dropouts: number; colluders: number },
  { complete = false }: { complete?: boolean } = {},
): Promise<Parameters> {
  const { dropouts, colluders } = assumed;
  return JSON.parse(await awaiting(() => binding.secaggParameters(cohort, dropouts, colluders, complete)));
}

export interface Modulus {
  cohort: number;
  weight_max: number;
  half_range: number;
  noise: number;
  bound: number;
  bits: number;
}

export interface GridOptions {
  /** Range ±clip of floating-point tensors without a range of their own. */
  clip: number;
  /** By name; an integer tensor must have one. */
  ownClips?: Record<string, number>;
  metrics?: { name: string; low: number; high: number }[];
  valueBits: number;
  weightMax: number;
  /** Of the whole update, in L2. */
  normClip?: number;
  /** σ of the discrete Gaussian that each node adds to each element of its tensors, in steps of the grid; needs an L2 clip. */
  noiseSigma?: number;
}

/** What the noise of so many honest nodes amounts to, in steps of the grid. */
export interface Noise {
  parties: number;
  /** σ of one node's share. */
  local_sigma: number;
  dimension: number;
  /** Sensitivity of the rounded integers. */
  l1: number;
  l2: number;
  /** σ of all of them over l2, rounded down. */
  noise_multiplier: number;
}

let rawGrid: (grid: Grid) => RawSecaggGrid;

/** Which values a round sums, and how they become integers. */
export class Grid {
  readonly #raw: RawSecaggGrid;

  private constructor(raw: RawSecaggGrid) {
    this.#raw = raw;
  }

  static {
    rawGrid = (grid) => calling(() => grid.#raw);
  }

  /** SECAGG_PARAMETERS for ranges that make no sense, and for an integer tensor without one. */
  static create(specs: TensorSpec[], options: GridOptions): Grid {
    return new Grid(calling(() => binding.SecaggGrid.create(specs, JSON.stringify(options))));
  }

  /** Elements of a masked vector: sentinels, weight, metrics, tensors. */
  get length(): number {
    return calling(() => this.#raw.length());
  }

  /**
   * The least σ of one node's share with which `honest` of them make noise of `multiplier` times a node's sensitivity. SECAGG_PARAMETERS below 4
   * steps of the grid, and without an L2 clip, weights of 1 and one range for all tensors.
   */
  noiseShare(multiplier: number, honest: number): number {
    return calling(() => this.#raw.noiseShare(multiplier, honest));
  }

  /** Of a grid with noise. SECAGG_PARAMETERS where nobody is honest: then it protects nobody. */
  noise(honest: number): Noise {
    return JSON.parse(calling(() => this.#raw.noise(honest)));
  }

  /** The modulus that the sums of a cohort fit into, with its noise; SECAGG_PARAMETERS, with the arithmetic, where none does. */
  modulus(cohort: number, noise = 0): Modulus {
    return JSON.parse(calling(() => this.#raw.modulus(cohort, noise)));
  }

  /** A number of examples as a weight of this grid; WEIGHT_INVALID beyond the maximum. */
  weightOf(examples: number, maxExamples: number): number {
    return calling(() => this.#raw.weightOf(examples, maxExamples));
  }
}

// ---- a node

let rawSigner: (key: SigningKey) => RawSigningKey;

/** A node's certified key, Ed25519 or P-256; it stays in the core. */
export class SigningKey {
  readonly #raw: RawSigningKey;

  private constructor(raw: RawSigningKey) {
    this.#raw = raw;
  }

  static {
    rawSigner = (key) => calling(() => key.#raw);
  }

  /** SIGNATURE_KEY unless the DER is PKCS#8 of such a key. */
  static fromPkcs8(der: Uint8Array): SigningKey {
    return new SigningKey(calling(() => binding.SigningKey.fromPkcs8(der)));
  }

  get publicPem(): string {
    return calling(() => this.#raw.publicPem());
  }
}

/** What the data owner asks of a round, whatever the plan says. */
export interface Floors {
  cohort: number;
  survivors: number;
  /** Fraction of the cohort that may collude with the server. */
  colluders: number;
}

export interface Update {
  /** Little-endian elements in C order, one array for each tensor of the grid. */
  tensors: Uint8Array[];
  /**
   * The same of the model that the update started from. With it the difference is what is checked for NaN and infinity, clipped, and summed;
   * without it the values themselves are.
   */
  start?: Uint8Array[];
  metrics?: number[];
  weight?: number;
}

/**
 * One node in one round. Every request is answered once: the same again gets the same answer, another one ends the round. Journal
 * {@link save}, sealed, before an answer leaves. SECAGG_REFUSED says why a node does not go on ({@link refusalOf}).
 */
export class SecaggClient {
  readonly #raw: RawSecaggClient;

  private constructor(raw: RawSecaggClient) {
    this.#raw = raw;
  }

  /** Begins a round with fresh keys; the advert holds until `expires` (seconds since 1970). */
  static advertise(node: string, terms: Terms, floors: Floors, key: SigningKey, expires: number): SecaggClient {
    const [termsJson, floorsJson] = [JSON.stringify(terms), JSON.stringify(floors)];
    return new SecaggClient(
      calling(() => binding.SecaggClient.advertise(node, termsJson, floorsJson, rawSigner(key), expires)),
    );
  }

  /** A round that was begun and of which the journal holds nothing more: it answers nothing. */
  static lost(node: string, terms: Terms, floors: Floors): SecaggClient {
    const [termsJson, floorsJson] = [JSON.stringify(terms), JSON.stringify(floors)];
    return new SecaggClient(calling(() => binding.SecaggClient.lost(node, termsJson, floorsJson)));
  }

  /** What {@link save} gave; STATE_LOST if it is not that. */
  static restore(saved: Uint8Array): SecaggClient {
    return new SecaggClient(calling(() => binding.SecaggClient.restore(saved)));
  }

  /** The state with its secrets: seal it, then wipe the buffer. */
  save(): Buffer {
    return calling(() => this.#raw.save());
  }

  /** The round answered last, 0 … 4; undefined once the round has ended early. */
  get stage(): number | undefined {
    return calling(() => this.#raw.stage()) ?? undefined;
  }

  get ended(): Refusal | undefined {
    const reason = calling(() => this.#raw.ended());
    return REFUSALS.find((refusal) => refusal === reason);
  }

  /** The advert, until the roster has come. */
  get advert(): Advert | undefined {
    const advert = calling(() => this.#raw.advert());
    return advert === null ? undefined : JSON.parse(advert);
  }

  async shareKeys(request: RosterRequest, now: number): Promise<SealedShares> {
    return JSON.parse(await awaiting(() => this.#raw.shareKeys(JSON.stringify(request), now)));
  }

  /** The update as integers under its masks, packed. Asked again: ANSWERED_BEFORE, send what was kept. */
  maskInput(request: ShareDelivery, grid: Grid, update: Update, threads = 1): Promise<Buffer> {
    const whole = { metrics: [], weight: 1, ...update };
    return awaiting(() => this.#raw.maskInput(JSON.stringify(request), rawGrid(grid), whole, threads));
  }

  async confirmSurvivors(request: SurvivorList, key: SigningKey): Promise<Confirmation> {
    return JSON.parse(await awaiting(() => this.#raw.confirmSurvivors(JSON.stringify(request), rawSigner(key))));
  }

  async unmask(request: UnmaskRequest): Promise<OpenedShares> {
    return JSON.parse(await awaiting(() => this.#raw.unmask(JSON.stringify(request))));
  }

  /** Ends the round and wipes what is secret. */
  abort(): void {
    calling(() => this.#raw.abort());
  }
}

// ---- the secagg service

/** Everybody who takes part in a round, verified as nodes verify them. */
export class Roster {
  readonly #raw: RawSecaggRoster;

  private constructor(raw: RawSecaggRoster) {
    this.#raw = raw;
  }

  /**
   * SECAGG_REFUSED, as a node would say it, for adverts that are not signed or have expired at `now` (seconds since 1970), and for a node,
   * subject or key that is there twice.
   */
  static create(terms: Terms, adverts: CertifiedAdvert[], now: number): Roster {
    return new Roster(calling(() => binding.SecaggRoster.create(JSON.stringify(terms), JSON.stringify(adverts), now)));
  }

  /** Who masks with this node, ascending. */
  neighbours(of: string): string[] {
    return calling(() => this.#raw.neighbours(of));
  }

  /** SECAGG_REFUSED unless a node of this roster signed these survivors and this model. */
  checkConfirmation(confirmation: Confirmation, survivors: string[], model: string): void {
    calling(() => this.#raw.checkConfirmation(JSON.stringify(confirmation), survivors, model));
  }
}

/** Opened shares into one total mask. One node's mask never leaves. */
export class MaskRemoval {
  readonly #raw: RawMaskRemoval;

  private constructor(raw: RawMaskRemoval) {
    this.#raw = raw;
  }

  /** `survivors` delivered a masked vector, `dropped` shared their keys and did not. `now` is what adverts must not have expired at. */
  static create(
    terms: Terms,
    adverts: CertifiedAdvert[],
    now: number,
    model: string,
    survivors: string[],
    dropped: string[],
  ): MaskRemoval {
    const [termsJson, advertsJson] = [JSON.stringify(terms), JSON.stringify(adverts)];
    return new MaskRemoval(
      calling(() => binding.MaskRemoval.create(termsJson, advertsJson, now, model, survivors, dropped)),
    );
  }

  /** SECAGG_SHARES, and nothing taken, for an answer that no honest node gives. */
  take(opened: OpenedShares): void {
    calling(() => this.#raw.take(JSON.stringify(opened)));
  }

  /** What {@link take} would say, and nothing taken. */
  check(opened: OpenedShares): void {
    calling(() => this.#raw.check(JSON.stringify(opened)));
  }

  /** Whether every secret has a threshold of shares. */
  get isPossible(): boolean {
    return calling(() => this.#raw.isPossible());
  }

  /** Packed. SECAGG_SHARES if shares are too few or wrong. */
  totalMask(threads = 1): Promise<Buffer> {
    return awaiting(() => this.#raw.totalMask(threads));
  }
}

// ---- the aggregator

/** Masked vectors, added modulo 2^bits in the memory of one; opens once. */
export class MaskedSum {
  readonly #raw: RawMaskedSum;

  private constructor(raw: RawMaskedSum) {
    this.#raw = raw;
  }

  static create(terms: Terms): MaskedSum {
    return new MaskedSum(calling(() => binding.MaskedSum.create(JSON.stringify(terms))));
  }

  /** SECAGG_MALFORMED, and nothing added, for a vector of another length. */
  add(packed: Uint8Array): Promise<void> {
    return awaiting(() => this.#raw.add(packed));
  }

  /**
   * Whether these slices of a log, joined, can be a vector: parts there, length right, nothing behind the last element. Nobody sees more of
   * it before the sum is open.
   */
  checkSlices(log: IntakeLog, slices: PartSlice[]): Promise<void> {
    return awaiting(() => this.#raw.checkSlices(rawLog(log), slices));
  }

  /** {@link add} from a log, a piece at a time. What {@link checkSlices} refuses adds nothing; after any other error fold anew. */
  addSlices(log: IntakeLog, slices: PartSlice[]): Promise<void> {
    return awaiting(() => this.#raw.addSlices(rawLog(log), slices));
  }

  get count(): number {
    return calling(() => this.#raw.count());
  }

  /**
   * SECAGG_SUM unless what comes out is the sum of that many honest vectors: sentinels, weight, range with the grid's noise and `noise` more.
   * With a divisor, tensors are divided by that and not by the weight of who came.
   */
  async open(
    grid: Grid,
    survivors: number,
    totalMask: Uint8Array,
    { noise = 0, divisor }: { noise?: number; divisor?: number | undefined } = {},
  ): Promise<OpenedSum> {
    return new OpenedSum(await awaiting(() => this.#raw.open(rawGrid(grid), survivors, noise, totalMask, divisor)));
  }

  /** Gives the memory back; nothing else may be called afterwards. */
  close(): void {
    calling(() => this.#raw.close());
  }
}

/** A sum that has passed every check. */
export class OpenedSum {
  readonly #raw: RawOpenedSum;

  constructor(raw: RawOpenedSum) {
    this.#raw = raw;
  }

  get survivors(): number {
    return calling(() => this.#raw.survivors());
  }

  get weight(): number {
    return calling(() => this.#raw.weight());
  }

  /** The weighted mean of the grid's metric at this place. */
  metric(index: number): number {
    return calling(() => this.#raw.metric(index));
  }

  /** The weighted mean of the grid's tensor at this place, in its own dtype. */
  tensor(index: number): Buffer {
    return calling(() => this.#raw.tensor(index));
  }

  /**
   * Of updates that were differences from `start`: `start` plus their weighted mean, as a sealed model file. TENSOR_MISSING unless
   * `start` has the grid's tensors in their order.
   */
  writeModel(start: ModelFile, path: string, key: DataKey): Promise<ModelInfo> {
    return awaiting(() => this.#raw.writeModel(rawModel(start), path, rawKey(key)));
  }

  /** Gives the memory back; nothing else may be called afterwards. */
  close(): void {
    calling(() => this.#raw.close());
  }
}
