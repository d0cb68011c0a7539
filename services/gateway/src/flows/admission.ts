import { AegisError } from '@aegis/errors';
import type { Clock } from '@aegis/service-kit';
import { type CallClass, comesBack, householdOf, type Payer, type Pressure, priceOf } from '../domain/admission.ts';
import type { Allowances } from './allowances.ts';

/** Keys that proved themselves, each from an address; the oldest goes first. Some 500 bytes each. */
const REMEMBERED = 50_000;
/** Calls of one connection whose price may come back. */
const MOST_PENDING = 256;

export interface Caller {
  /** Remote address of the connection; "" when it is not known. */
  readonly address: string;
  /** Identity of the connection, where the call has one. */
  readonly connection?: object | undefined;
  /** Who it says it is: the text of its key, a node id. Nothing was proven yet. */
  readonly claims?: string | undefined;
}

interface Pending {
  readonly what: CallClass;
  readonly price: number;
  /** Its household was known: it paid nothing of everybody's. */
  readonly isAtHome: boolean;
}

interface Known {
  household: string;
  pending: Pending[];
  /** Who proved itself on it last. Nobody else can speak there: what others at its address forge in its name takes nothing from it. */
  proven: { readonly claims: string; readonly principal: string } | null;
}

export interface AdmissionParts {
  readonly allowances: Allowances;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly pressure: () => Pressure;
  /** Addresses that no allowance of addresses holds for: balancers that hide whom they speak for. */
  readonly unlimited: readonly string[];
  /** A call was put off. */
  readonly limited?: (what: CallClass, payer: Payer) => void;
}

/**
 * Who is let in, and who is told to come back. Looked at by the head of a call, before anything is read or verified. Whoever has proven who
 * it is pays from an allowance of its own; a stranger pays from that of its address, at a price that rises with our load, and gets it back
 * with its first proof on that connection. So honest nodes behind one address do not feel each other, an enrolled node
 * goes before a stranger, and a flood ends with its address's allowance.
 */
export class Admission {
  readonly #parts: AdmissionParts;
  readonly #unlimited: ReadonlySet<string>;
  readonly #connections = new WeakMap<object, Known>();
  /** Households of which somebody proved itself; the oldest goes first. */
  readonly #homes = new Set<string>();
  /** Principals by address and claim. */
  readonly #proven = new Map<string, string>();
  /** A node or an operator proved itself on the connection. */
  onProved: (connection: object) => void = () => {};

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.#unlimited = new Set(parts.unlimited.map(householdOf));
  }

  get pressure(): Pressure {
    return this.#parts.pressure();
  }

  /** RATE_LIMIT when there were too many of this kind. Returns the principal; null of a stranger. */
  arrives(what: CallClass, { address, connection, claims }: Caller): string | null {
    const household = householdOf(address);
    const proven = connection && this.#connections.get(connection)?.proven;
    const known = proven?.claims === claims ? proven?.principal : undefined;
    const principal = claims === undefined ? undefined : (known ?? this.#proven.get(`${household} ${claims}`));
    if (principal !== undefined) {
      this.#pay(what, 'caller', principal, 1);
      return principal;
    }
    const paid = this.#asStranger(what, household);
    if (connection) this.#pending(connection, household, paid);
    return null;
  }

  /** A call of somebody whose proof came with it and was judged already. RATE_LIMIT when it makes too many. */
  arrivesKnown(what: CallClass, principal: string, connection: object): void {
    this.#pay(what, 'caller', principal, 1);
    this.proved(connection, principal, principal);
  }

  /** A connection began; false: its address began too many that came to nothing. */
  begins(address: string, connection: object): boolean {
    const household = householdOf(address);
    try {
      this.#pending(connection, household, this.#asStranger('connections', household));
      return true;
    } catch {
      return false;
    }
  }

  /** Who claimed to be somebody is. What the calls of this connection cost as a stranger's comes back. */
  proved(connection: object | undefined, claims: string, principal: string): void {
    const known = connection && this.#connections.get(connection);
    if (!known) return;
    known.proven = { claims, principal };
    const now = this.#parts.clock.monotonic();
    const place = `${known.household} ${claims}`;
    if (this.#proven.get(place) !== principal) {
      this.#remember(place, principal);
      this.#parts.allowances.spend('calls', 'caller', principal, now, 1);
    }
    for (const { what, price, isAtHome } of known.pending.splice(0)) {
      this.#parts.allowances.spend(what, 'address', known.household, now, -price);
      if (!isAtHome) this.#parts.allowances.spend(what, 'everybody', '', now, -price);
    }
    this.#atHome(known.household);
    this.onProved(connection);
  }

  /** The proof was none, or was used before: the caller is a stranger from now on, and has paid for good. */
  doubted(connection: object | undefined, claims: string): void {
    const known = connection && this.#connections.get(connection);
    if (!known) return;
    known.pending.length = 0;
    if (known.proven?.claims === claims) known.proven = null;
    this.#proven.delete(`${known.household} ${claims}`);
  }

  /** The two identities are one connection: a TLS socket, and the TCP socket below it. */
  sameConnection(one: object, other: object): void {
    const known = this.#connections.get(one);
    if (known) this.#connections.set(other, known);
  }

  /**
   * What it paid; RATE_LIMIT when there is not that much left. Where nodes of ours live, others may be new; what comes from elsewhere
   * shares one allowance besides, so that many addresses take no place from those.
   */
  #asStranger(what: CallClass, household: string): Pending {
    if (this.#unlimited.has(household)) return { what, price: 0, isAtHome: true };
    const isAtHome = this.#homes.has(household);
    const { allowances, clock, pressure } = this.#parts;
    const price = priceOf(what, { pressure: pressure(), isAtHome }, allowances.rates[what].address);
    this.#pay(what, 'address', household, price);
    if (isAtHome) return { what, price, isAtHome };
    try {
      this.#pay(what, 'everybody', '', price);
    } catch (caught) {
      allowances.spend(what, 'address', household, clock.monotonic(), -price);
      throw caught;
    }
    return { what, price, isAtHome };
  }

  #pay(what: CallClass, payer: Payer, name: string, price: number): void {
    const { allowances, clock, limited } = this.#parts;
    if (allowances.take(what, payer, name, clock.monotonic(), price)) return;
    limited?.(what, payer);
    throw refusalOf(what, payer);
  }

  #pending(connection: object, household: string, pending: Pending): void {
    const known = this.#connections.get(connection) ?? { household, pending: [], proven: null };
    this.#connections.set(connection, known);
    const returns = pending.price > 0 && comesBack(pending.what);
    if (returns && known.pending.length < MOST_PENDING) known.pending.push(pending);
  }

  #remember(place: string, principal: string): void {
    this.#proven.delete(place);
    makeRoom(this.#proven);
    this.#proven.set(place, principal);
  }

  #atHome(household: string): void {
    this.#homes.delete(household);
    makeRoom(this.#homes);
    this.#homes.add(household);
  }
}

/** For one more: the oldest goes. */
const makeRoom = (kept: Map<string, unknown> | Set<string>): void => {
  for (const oldest of kept.keys()) {
    if (kept.size < REMEMBERED) break;
    kept.delete(oldest);
  }
};

const WHOSE: Readonly<Record<Payer, string>> = {
  caller: 'one caller',
  address: 'one address',
  everybody: 'all strangers',
};

/** Made once each: a flood shall not cost us a stack trace for every call. */
const refusals = new Map<string, AegisError>();
const refusalOf = (what: CallClass, payer: Payer): AegisError => {
  const key = `${what} of ${WHOSE[payer]}.`;
  const known = refusals.get(key) ?? new AegisError(what === 'registrations' ? 'REGISTRATIONS' : 'RATE_LIMIT', key);
  refusals.set(key, known);
  return known;
};
