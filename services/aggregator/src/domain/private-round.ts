// One round of a private run: what is released, what it is charged as, and to whom.
import type { PrivacyPlan, PrivacyUnit, PrivateSampling } from './privacy-plan.ts';
import type { ConfigEntry } from './scalar.ts';
import type { DistributedNoise } from './secagg-plan.ts';
import { type TreePlan, type TreeRound, treesOf } from './tree-plan.ts';

/** Fixed before the round selects anybody. */
export interface RoundPrivacy {
  readonly sampling: PrivateSampling;
  /** Greatest L2 norm of one update. */
  readonly clip: number;
  /** σ of everything that the round releases together, over the clip: what is charged. */
  readonly noiseMultiplier: number;
  /** A clip bit of each update is released too, with noise of its own; `noiseMultiplier` covers both. */
  readonly adapts: boolean;
  readonly weightMax: number | null;
  /** Null: the number of nodes selected. */
  readonly denominator: number | null;
  /** Whose noise it gets, and who may be in it; without: fresh noise. */
  readonly tree?: TreeRound | undefined;
}

/** The bit costs (1/10)² = 1 % of the round: it gets ten times the noise of the whole. */
const BIT_SHARE = 10;

/**
 * Two Gaussians on the same cohort are one with z = (z_u⁻² + z_b⁻²)^(-1/2) (Andrew et al. 1905.03871, theorem 1, with a sensitivity of 1
 * for a bit told as ±1). They are charged as that one: under sampling, two events of their own would not have the same cohort.
 */
export function splitNoise({ noiseMultiplier: z, adapts }: Pick<RoundPrivacy, 'noiseMultiplier' | 'adapts'>): {
  update: number;
  bit: number | null;
} {
  if (!adapts) return { update: z, bit: null };
  return { update: z / Math.sqrt(1 - 1 / BIT_SHARE ** 2), bit: z * BIT_SHARE };
}

/** Nobody may learn who was selected, or amplification is not earned: not the log, not the views, not other nodes. */
export const hidesCohort = (privacy: Pick<RoundPrivacy, 'sampling'> | null | undefined): boolean =>
  privacy != null && privacy.sampling.kind !== 'none';

/**
 * The fold's grid has at least 2^39 steps within the clip, and no plan has less noise than 2^-19 clips: σ is never fewer steps than this. More
 * only brings it nearer to the continuous Gaussian.
 */
const LEAST_GRID_SIGMA = 2 ** 20;

/** In the ledger's vocabulary; without a noise multiplier the ledger is asked for it. */
export function eventOf(
  { unit, sampling, noiseMultiplier }: Pick<PrivacyPlan, 'unit' | 'sampling' | 'noiseMultiplier'>,
  count: number,
): string {
  const how =
    sampling.kind === 'none'
      ? { sampling: { kind: 'none' }, relation: 'zero-out' }
      : sampling.kind === 'poisson'
        ? { sampling: { kind: 'poisson', rate: sampling.rate }, relation: 'add-or-remove-one' }
        : {
            sampling: { kind: 'without-replacement', rate: sampling.size / sampling.population },
            relation: 'replace-one',
          };
  return JSON.stringify({
    mechanism: 'discrete-gaussian',
    'grid-sigma': LEAST_GRID_SIGMA,
    ...(noiseMultiplier !== null && { 'noise-multiplier': noiseMultiplier }),
    ...how,
    count,
    unit,
  });
}

/** Far above what makes the sum of shares differ from one Gaussian: the σ of a share that is not known yet. */
const ANY_SHARE = 2 ** 20;

/**
 * The event of a masked round, whose nodes add the noise. Without a noise multiplier the ledger is asked for it; neighbours differ in what one
 * node's update says, and its own share is there either way.
 */
function sharesEventOf(
  { parties, localSigma, dimension, l1 }: Omit<DistributedNoise, 'l2' | 'localSigma'> & { localSigma: number | null },
  { unit, noiseMultiplier }: Pick<PrivacyPlan, 'unit' | 'noiseMultiplier'>,
  count: number,
): string {
  return JSON.stringify({
    mechanism: 'distributed-discrete-gaussian',
    parties,
    'local-grid-sigma': localSigma ?? ANY_SHARE,
    dimension,
    'grid-l1': l1,
    ...(noiseMultiplier !== null && { 'noise-multiplier': noiseMultiplier }),
    sampling: { kind: 'none' },
    relation: 'zero-out',
    count,
    unit,
  });
}

/** As many rounds of a run with as much noise as is planned, whoever adds it. */
export const plannedEvent = ({ privacy, secagg, rounds }: PlannedRun, count: number): string => {
  if (privacy.tree !== undefined) return treeEventOf(privacy.tree, privacy, rounds);
  return secagg?.noise === undefined ? eventOf(privacy, count) : sharesEventOf(secagg.noise, privacy, count);
};

interface PlannedRun {
  readonly privacy: Pick<PrivacyPlan, 'unit' | 'sampling' | 'noiseMultiplier' | 'tree'>;
  readonly secagg?: SecaggNoise | undefined;
  readonly rounds: number;
}

/** One event for all rounds of the run: the ledger charges it once. */
function treeEventOf(
  tree: TreePlan,
  { unit, noiseMultiplier }: Pick<PrivacyPlan, 'unit' | 'noiseMultiplier'>,
  rounds: number,
): string {
  return JSON.stringify({
    mechanism: 'tree',
    steps: treesOf(tree, rounds),
    epochs: tree.maxParticipations,
    ...(noiseMultiplier !== null && { 'noise-multiplier': noiseMultiplier }),
    sampling: { kind: 'none' },
    relation: 'zero-out',
    count: 1,
    unit,
  });
}

interface SecaggNoise {
  readonly noise?: DistributedNoise | undefined;
}

/**
 * What happened in a masked round: the shares of all who are in the sum but those who are assumed to work with the server, and never fewer than
 * were paid for.
 */
export function survivorsEvent(
  noise: DistributedNoise,
  { unit, noiseMultiplier }: { readonly unit: PrivacyUnit; readonly noiseMultiplier: number },
  honest: number,
): string {
  const parties = Math.max(honest, noise.parties);
  // down, so that no rounding claims more noise than there is
  const multiplier = noiseMultiplier * Math.sqrt(parties / noise.parties) * (parties === noise.parties ? 1 : 1 - 1e-12);
  return sharesEventOf({ ...noise, parties }, { unit, noiseMultiplier: multiplier }, 1);
}

/** Reserved under one key for good: what a run lets out in one attempt at one round. */
export const reservationKey = (runId: bigint, round: number, attempt: number): string =>
  `${runId}/${round}/${attempt}/train`;

/** What the accounting must cover: with a secret cohort everybody who could have been in it, else those who are. */
export const chargedNodes = (
  { sampling }: Pick<RoundPrivacy, 'sampling'>,
  online: readonly bigint[],
  selected: readonly bigint[],
): readonly bigint[] => (sampling.kind === 'none' ? selected : online);

/**
 * Of each unit one node may be asked: its others, which stand back. With two answers of one unit in a sum, that unit would move it by two clips.
 * `nodes` in the order in which they are to be preferred; those without a unit are not looked at.
 */
export const standingBack = (nodes: Iterable<bigint>, units: ReadonlyMap<bigint, string>): ReadonlySet<bigint> => {
  const spoken = new Set<string>();
  const back = new Set<bigint>();
  for (const node of nodes) {
    const unit = units.get(node);
    if (unit === undefined) continue;
    if (spoken.has(unit)) back.add(node);
    else spoken.add(unit);
  }
  return back;
};

/** Names of units begin with that of the key they were made with; more than one means that one node may have two budgets. */
export const unitKeys = (units: Iterable<string>): ReadonlySet<string> =>
  new Set([...units].map((unit) => unit.slice(0, unit.indexOf('-'))));

/**
 * The clip of the next round: C · exp(−η (b − γ)), where b is the noised share of updates that needed no clipping. `noisedSum`: each
 * update counts +1 when it needed none and −1 when it did; who did not answer counts 0.
 */
export function nextClip(plan: PrivacyPlan, clip: number, noisedSum: number, denominator: number): number {
  if (plan.adaptive === null) return clip;
  const share = Math.min(Math.max((noisedSum / denominator + 1) / 2, 0), 1);
  return Math.min(clip * Math.exp(-plan.adaptive.rate * (share - plan.adaptive.quantile)), plan.clipMax);
}

/** +1: the update needed no clipping. A node that clips by itself (Flower's adaptiveclipping_mod) says so in `norm_bit`. */
export function clipBitOf(clippedHere: boolean, metrics: readonly ConfigEntry[]): number {
  const said = metrics.find(({ key }) => key === 'norm_bit')?.value;
  const clippedThere = said !== undefined && !Array.isArray(said.value) && Number(said.value) === 1;
  return clippedHere || clippedThere ? -1 : 1;
}

/** Fewer nodes than these make no mean. */
export const LEAST_EVALUATED = 2;

/** What leaves beside the noised model, for the statement. Nothing of it is covered by ε. */
export function inTheClear(evaluates: boolean, sampling: PrivateSampling): string[] {
  return [
    ...(evaluates
      ? [`evaluate-metrics: weighted means over the nodes that evaluated, ${LEAST_EVALUATED} or more`]
      : []),
    ...(sampling.kind === 'none' ? ['cohort: who was selected, and who answered'] : []),
    'presence: which nodes were online',
  ];
}

/** What came of a round, as people are shown it. */
export interface ReleasedRound {
  readonly clip: number;
  readonly nextClip: number;
  readonly noiseMultiplier: number;
  /** Of the run, with this round in it; an upper bound. */
  readonly epsilon: number;
  readonly delta: number;
  /** Share of the run's budget that is not spent, 0 to 1. */
  readonly left: number;
}
