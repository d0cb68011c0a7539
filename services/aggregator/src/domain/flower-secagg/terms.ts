// What a compatible round is about: the settings of Flower's `SecAggPlusWorkflow`, applied to a cohort. Read in this order: terms (who
// shares with whom), answer (what nodes say), state, round (how answers lead on), request (what nodes are asked), removal (what the sum
// needs). Flower's own server loses a round to a node that fails before its vector was due; here such a node is left out.
import { AegisError } from '@aegis/errors';

export type NodeId = bigint;

/** Flower takes a number of nodes or a fraction; its whole 1 means the fraction. */
export type Amount = { readonly count: number } | { readonly fraction: number };

/** By Flower's names; `targetRange` is its `quantization_range`, `modRange` its `modulus_range`. */
export interface FlowerSettings {
  readonly numShares: Amount;
  readonly reconstructionThreshold: Amount;
  readonly maxWeight: number;
  readonly clippingRange: number;
  readonly targetRange: number;
  readonly modRange: number;
}

export interface FlowerTerms extends Omit<FlowerSettings, 'numShares' | 'reconstructionThreshold'> {
  /** The cohort in the order, drawn at random, that makes neighbours. */
  readonly ring: readonly NodeId[];
  /** Into how many a secret is split: no node has more neighbours, itself among them. */
  readonly shares: number;
  /** So many open a secret. */
  readonly threshold: number;
}

/** SECAGG_TOO_FEW, with the arithmetic, if this cohort cannot be summed under these settings whatever its nodes do. */
export function termsFor(settings: FlowerSettings, ring: readonly NodeId[]): FlowerTerms {
  const { numShares, reconstructionThreshold, ...range } = settings;
  const size = ring.length;
  if (size < 2) throw impossible(`The cohort has ${size === 1 ? 'one node' : 'no nodes'}; a sum needs two.`);
  if (size * range.targetRange >= range.modRange)
    throw impossible(
      `${size} nodes × a quantization range of ${range.targetRange} do not fit below a modulus of ${range.modRange}.`,
    );
  const shares = sharesOf(numShares, size);
  const threshold = thresholdOf(reconstructionThreshold, shares);
  const most = Math.min(shares, size);
  if (threshold > most)
    throw impossible(`A secret needs ${threshold} shares, but only ${most} nodes would hold one each.`);
  return { ...range, ring, shares, threshold };
}

const impossible = (why: string): AegisError => new AegisError('SECAGG_TOO_FEW', why);

/** Odd unless everybody shares with everybody: as many neighbours on either side. */
function sharesOf(amount: Amount, size: number): number {
  const odd = (count: number): number => (count !== size && count % 2 === 0 ? count + 1 : count);
  if (isWhole(amount)) return odd(amount.count);
  const count = odd(halfToEven(fractionOf(amount) * size));
  return count <= 2 ? size : count;
}

const thresholdOf = (amount: Amount, shares: number): number =>
  Math.max(isWhole(amount) ? amount.count : halfToEven(fractionOf(amount) * shares), 2);

const isWhole = (amount: Amount): amount is { readonly count: number } => 'count' in amount && amount.count !== 1;
const fractionOf = (amount: Amount): number => ('fraction' in amount ? amount.fraction : 1);

/** As Python rounds. */
function halfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

export type Neighbours = ReadonlyMap<NodeId, ReadonlySet<NodeId>>;

/** Of every node those up to half the shares away on the ring, and itself. Whoever is a neighbour has the other as one. */
export function neighboursOf({ ring, shares }: FlowerTerms): Neighbours {
  const reach = shares >> 1;
  if (2 * reach + 1 >= ring.length) {
    const all = new Set(ring);
    return new Map(ring.map((node) => [node, all]));
  }
  const near = (at: number): Set<NodeId> => {
    const nodes = new Set<NodeId>();
    for (let offset = -reach; offset <= reach; offset += 1)
      nodes.add(ring[(at + offset + ring.length) % ring.length] as NodeId);
    return nodes;
  };
  return new Map(ring.map((node, at) => [node, near(at)]));
}
