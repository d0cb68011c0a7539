import { AegisError } from '@aegis/errors';
import { type Account, type Change, changed, openAccount, relationOfAll } from './account.ts';
import type { Budget } from './budget.ts';
import { type Charges, minus, noCharges, plus } from './charges.ts';
import type { Entry } from './entry.ts';
import type { Policy } from './policy.ts';
import { type Scope, type ScopeKind, scopeKey } from './scope.ts';
import { netChange } from './settle.ts';
import { givenBack, newlyCharged, treeOf } from './tree-run.ts';

export interface Run {
  readonly policy: Policy;
  readonly digest: string;
  readonly budget: Budget;
  readonly scheduled: { readonly epsilon: number; readonly method: string } | null;
  /** Of the schedule, what is reserved or committed. */
  readonly consumed: Charges;
  /** What it has spent, as it really was. */
  readonly account: Account | null;
  readonly reserved: number;
  readonly committed: number;
}

export interface DataSet {
  readonly partitions: readonly string[];
  /** In which partition a unit was seen, by its number. */
  readonly homes: Map<number, string>;
  /** Charges to all of it at once. */
  whole: Account | null;
  /** Charges to one partition only. */
  readonly parts: Map<string, Account>;
  reserved: number;
  committed: number;
}

export interface Reservation {
  readonly id: string;
  readonly digest: string;
  readonly runId: bigint;
  readonly units: Int32Array;
  /** As asked: what idempotent repetition gets back, and what of a schedule is used up. */
  readonly asked: Charges;
  /** As charged now. */
  readonly events: Charges;
  readonly state: 'reserved' | 'committed' | 'released';
  readonly result: string;
  readonly inTheClear: readonly string[];
}

const noDataSet = (): DataSet => ({
  partitions: [],
  homes: new Map(),
  whole: null,
  parts: new Map(),
  reserved: 0,
  committed: 0,
});

/**
 * All balances, and everything needed to decide: the fold of the entries, in their order, from the first one. It decides nothing and
 * forbids nothing but what cannot be; whether a charge is covered is said by coverage.ts before its entry is made.
 */
export class Book {
  readonly defaults = new Map<ScopeKind, Budget>();
  /** Of scopes that have one of their own. */
  readonly budgets = new Map<string, Budget>();
  readonly runs = new Map<bigint, Run>();
  readonly dataSets = new Map<string, DataSet>();
  readonly unitNumbers = new Map<string, number>();
  readonly unitNames: string[] = [];
  /** By number; undefined: nothing spent. */
  readonly units: (Account | undefined)[] = [];
  readonly reservations = new Map<string, Reservation>();
  readonly byKey = new Map<string, string>();
  epoch = 0;
  entries = 0;

  budgetOf(scope: Scope): Budget {
    const budget = this.budgets.get(scopeKey(scope)) ?? this.defaults.get(scope.kind);
    if (budget === undefined) throw new AegisError('INTERNAL', '', new Error(`no default budget of a ${scope.kind}`));
    return budget;
  }

  apply(entry: Entry): void {
    this.entries += 1;
    if (entry.kind === 'opened') this.epoch = entry.epoch;
    else if (entry.kind === 'budget') this.setBudget(entry);
    else if (entry.kind === 'run') this.beginRun(entry);
    else if (entry.kind === 'reserved') this.reserve(entry);
    else if (entry.kind === 'committed') this.commit(entry);
    else if (entry.kind === 'released') this.release(entry);
  }

  /** As it is, or as it would be once something is known of it. */
  dataSet(name: string): DataSet {
    return this.dataSets.get(name) ?? noDataSet();
  }

  /** All accounts of a data set share one, so that their sums may be added. */
  dataSetOrder(name: string): number {
    const { whole, parts } = this.dataSet(name);
    const [account = null] = whole === null ? parts.values() : [whole];
    return account?.order ?? this.budgetOf({ kind: 'dataset', name }).order;
  }

  /** Nothing but additions to what is there: an own budget keeps the order of the accounts it is about. */
  private setBudget({ scope, epsilon, delta, order, partitions }: Entry & { kind: 'budget' }): void {
    const budget = { epsilon, delta, order };
    if (scope.name === '') this.defaults.set(scope.kind, budget);
    else this.budgets.set(scopeKey(scope), budget);
    if (scope.kind !== 'dataset' || scope.name === '' || partitions.length === 0) return;
    const known = this.dataSet(scope.name);
    this.dataSets.set(scope.name, { ...known, partitions: [...known.partitions, ...partitions] });
  }

  private beginRun({ policy, digest, epsilon, delta, order, scheduled }: Entry & { kind: 'run' }): void {
    if (this.runs.has(policy.runId)) throw broken(`run ${policy.runId} begins twice`);
    this.runs.set(policy.runId, {
      policy,
      digest,
      budget: { epsilon, delta, order },
      scheduled,
      consumed: noCharges,
      account: null,
      reserved: 0,
      committed: 0,
    });
  }

  private reserve(entry: Entry & { kind: 'reserved' }): void {
    const { id, key, digest, runId, newUnits, units, events } = entry;
    if (this.reservations.has(id) || this.byKey.has(key)) throw broken(`${id} is reserved twice`);
    const run = this.runOf(runId);
    for (const name of newUnits) {
      if (this.unitNumbers.has(name)) throw broken(`unit ${name} is new twice`);
      this.unitNumbers.set(name, this.unitNames.length);
      this.unitNames.push(name);
    }
    if (units.some((unit) => unit < 0 || unit >= this.unitNames.length))
      throw broken(`${id} names a unit nobody knows`);
    const isOfTree = treeOf(run.policy) !== null;
    const charged = isOfTree ? newlyCharged(this, runId, units) : { opens: true, units };
    this.charge(run.policy, charged.units, { add: events, remove: noCharges }, charged.opens);
    this.tally(runId, charged.opens ? events : noCharges, { reserved: 1, committed: 0 });
    const { partition, dataset } = run.policy;
    if (partition !== '') for (const unit of units) this.dataSet(dataset).homes.set(unit, partition);
    this.byKey.set(key, id);
    const nothingYet = { result: '', inTheClear: [] };
    this.reservations.set(id, { id, digest, runId, units, asked: events, events, state: 'reserved', ...nothingYet });
  }

  private commit({ id, events, result, inTheClear }: Entry & { kind: 'committed' }): void {
    const reservation = this.openReservation(id);
    const change = netChange(reservation.events, events);
    this.charge(this.runOf(reservation.runId).policy, reservation.units, change);
    this.tally(reservation.runId, noCharges, { reserved: -1, committed: 1 });
    this.reservations.set(id, { ...reservation, events, state: 'committed', result, inTheClear });
  }

  private release({ id }: Entry & { kind: 'released' }): void {
    const reservation = this.openReservation(id);
    const { policy } = this.runOf(reservation.runId);
    const back = treeOf(policy) === null ? reservation.units : givenBack(this, reservation.runId);
    if (back !== null) this.charge(policy, back, { add: noCharges, remove: reservation.events });
    const counted = { reserved: -1, committed: 0 };
    this.tally(reservation.runId, noCharges, counted, back === null ? noCharges : reservation.asked);
    this.reservations.set(id, { ...reservation, state: 'released' });
  }

  /** `all`: the run and its data set too, and not the units alone. */
  private charge(policy: Policy, units: Int32Array, change: Change, all = true): void {
    if (change.add.size === 0 && change.remove.size === 0) return;
    const relation = relationOfAll(change.add.size > 0 ? change.add : change.remove);
    const next = (account: Account | null | undefined, order: number): Account =>
      changed(account ?? openAccount(order, policy.unit, relation), change);
    if (all) this.chargeAll(policy, next);
    const moved = new Map<Account, Account>();
    const first = new Map<number, Account>();
    for (const unit of units) {
      const before = this.units[unit];
      if (before === undefined) {
        const unitOrder = this.budgetOf({ kind: 'unit', name: this.unitNames[unit] as string }).order;
        const opened = first.get(unitOrder) ?? next(undefined, unitOrder);
        first.set(unitOrder, opened);
        this.units[unit] = opened;
      } else {
        const after = moved.get(before) ?? next(before, before.order);
        moved.set(before, after);
        this.units[unit] = after;
      }
    }
  }

  private chargeAll(
    { runId, dataset, partition }: Policy,
    next: (account: Account | null | undefined, order: number) => Account,
  ): void {
    const run = this.runOf(runId);
    this.runs.set(runId, { ...run, account: next(run.account, run.budget.order) });
    const set = this.dataSet(dataset);
    const order = this.dataSetOrder(dataset);
    if (partition === '') set.whole = next(set.whole, order);
    else set.parts.set(partition, next(set.parts.get(partition), order));
    this.dataSets.set(dataset, set);
  }

  private tally(
    runId: bigint,
    asked: Charges,
    by: { reserved: number; committed: number },
    givenBack: Charges = noCharges,
  ): void {
    const run = this.runOf(runId);
    const consumed = minus(plus(run.consumed, asked), givenBack);
    if (consumed === undefined) throw broken(`run ${runId} gives back what it never took`);
    const { reserved, committed } = by;
    this.runs.set(runId, {
      ...run,
      consumed,
      reserved: run.reserved + reserved,
      committed: run.committed + committed,
    });
    const set = this.dataSet(run.policy.dataset);
    set.reserved += reserved;
    set.committed += committed;
  }

  private runOf(runId: bigint): Run {
    const run = this.runs.get(runId);
    if (run === undefined) throw broken(`run ${runId} never began`);
    return run;
  }

  private openReservation(id: string): Reservation {
    const reservation = this.reservations.get(id);
    if (reservation?.state !== 'reserved') throw broken(`${id} is ${reservation?.state ?? 'unknown'}, not reserved`);
    return reservation;
  }
}

/** An entry that cannot follow the ones before it: no writer of ours made it. */
const broken = (what: string): AegisError => new AegisError('PRIVACY_LEDGER_DAMAGED', `${what}.`);
