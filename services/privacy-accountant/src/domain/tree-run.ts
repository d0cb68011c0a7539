import { AegisError } from '@aegis/errors';
import { type Charges, noCharges } from './charges.ts';
import type { Policy } from './policy.ts';

/**
 * A run whose schedule is one tree (DP-FTRL): all its models are made of the noised nodes of that tree, so the event is charged once for all rounds — to
 * the run and the data set with its first reservation, to a unit with the first one that names it. The event says what that covers: as
 * many rounds as the tree has leaves, and each unit in `epochs` of them.
 */
export interface Tree {
  /** The event alone, as every reservation of the run must name it. */
  readonly charge: Charges;
  readonly leaves: number;
  readonly epochs: number;
}

export function treeOf({ schedule }: Policy): Tree | null {
  const [[event, count] = ['', 0], ...more] = schedule ?? [];
  if (schedule === null || count !== 1 || more.length > 0) return null;
  const { mechanism, steps, epochs = 1 } = JSON.parse(event) as { mechanism: string; steps?: unknown; epochs?: number };
  if (mechanism !== 'tree') return null;
  const trees = (Array.isArray(steps) ? steps : [steps]) as number[];
  return { charge: schedule, leaves: trees.reduce((sum, leaves) => sum + leaves, 0), epochs };
}

/** What of the ledger's book is asked here. */
interface Reserved {
  readonly reservations: ReadonlyMap<
    string,
    { readonly runId: bigint; readonly state: string; readonly units: Int32Array }
  >;
  readonly unitNames: readonly string[];
}

/** What is charged for a run's tree: a matter of its reservations and nothing else, so that it need not be kept. */
export interface Standing {
  /** Reserved or committed: rounds that something may leave of, or has left. */
  readonly rounds: number;
  /** Everybody whom any reservation of the run ever named, by number; how often one that stands did. */
  readonly times: ReadonlyMap<number, number>;
}

export function standingOf(book: Reserved, runId: bigint): Standing {
  const times = new Map<number, number>();
  let rounds = 0;
  for (const { state, units, ...reservation } of book.reservations.values()) {
    if (reservation.runId !== runId) continue;
    const stands = state === 'released' ? 0 : 1;
    rounds += stands;
    for (const unit of units) times.set(unit, (times.get(unit) ?? 0) + stands);
  }
  return { rounds, times };
}

/** What a reservation of a tree's run adds to what is charged: to the run and its data set once, to each unit once. */
export function newlyCharged(
  book: Reserved,
  runId: bigint,
  units: Int32Array,
): { readonly opens: boolean; readonly units: Int32Array } {
  const { rounds, times } = standingOf(book, runId);
  // whoever was named before anything stood is charged with the first that stands
  if (rounds === 0) return { opens: true, units: Int32Array.from(new Set([...times.keys(), ...units])).sort() };
  return { opens: false, units: units.filter((unit) => !times.has(unit)) };
}

/**
 * Nothing is given back while a round stands: what was charged for one of them covers the others too. With the last one everybody's comes back.
 * Asked while the reservation still stands.
 */
export function givenBack(book: Reserved, runId: bigint): Int32Array | null {
  const { rounds, times } = standingOf(book, runId);
  return rounds > 1 ? null : Int32Array.from(times.keys()).sort();
}

/** Why a further round with these units is not covered by what the event says; null: it is. */
export function beyondTree(
  book: Reserved,
  runId: bigint,
  tree: Tree,
  events: Charges,
  units: Int32Array,
): string | null {
  const [event] = tree.charge.keys();
  if (events.size !== 1 || events.get(event as string) !== 1)
    return `Run ${runId} has one tree for all its rounds, and each reservation names that event, once.`;
  const { rounds, times } = standingOf(book, runId);
  if (rounds >= tree.leaves) return `Run ${runId}: its tree has ${tree.leaves} leaves, and all are taken.`;
  const worn = units.find((unit) => (times.get(unit) ?? 0) >= tree.epochs);
  if (worn === undefined) return null;
  return `Run ${runId}: unit ${book.unitNames[worn]} has taken part ${times.get(worn)} times, as often as its tree allows (epochs ${tree.epochs}).`;
}

/** A round of a tree that is refused however much budget there is. */
export function demandWithinTree(...asked: Parameters<typeof beyondTree>): void {
  const refusal = beyondTree(...asked);
  if (refusal !== null) throw new AegisError('PRIVACY_EVENT_INVALID', refusal);
}

/** What several reservations of a run come to together. */
export const together = (policy: Policy, charges: Charges): Charges =>
  charges.size === 0 ? noCharges : (treeOf(policy)?.charge ?? charges);
