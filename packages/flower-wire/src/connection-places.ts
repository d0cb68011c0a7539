// Who keeps a connection when there are more than there may be.

import type { Socket } from 'node:net';

export interface PlaceLimits {
  connections: number;
  connectionsPerAddress: number;
}

export type NoPlace = 'too-many' | 'too-many-from-address';

/** Somebody has to go: `socket` is the newcomer itself when nobody else may be asked to. */
export interface Leaving {
  readonly socket: Socket;
  readonly reason: NoPlace | 'made-room';
}

interface Household {
  count: number;
  /** Oldest first. */
  readonly strangers: Set<Socket>;
}

/**
 * The places there are, in all and for each address. Whoever was vouched for keeps its place; when all are taken, the oldest connection of
 * a stranger makes room for the newest: whoever means something shows who it is within seconds.
 */
export class ConnectionPlaces {
  readonly #limits: PlaceLimits;
  readonly #all = new Map<Socket, string>();
  readonly #strangers = new Set<Socket>();
  readonly #households = new Map<string, Household>();

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#all.size;
  }

  sockets(): Iterable<Socket> {
    return this.#all.keys();
  }

  isStranger(socket: Socket): boolean {
    return this.#strangers.has(socket);
  }

  /** The newcomer has its place now; null, or who has to leave: `leave` is called for that one, too. */
  enter(socket: Socket, address: string): Leaving | null {
    const household = this.#households.get(address) ?? { count: 0, strangers: new Set() };
    this.#households.set(address, household);
    household.count += 1;
    household.strangers.add(socket);
    this.#all.set(socket, address);
    this.#strangers.add(socket);
    if (household.count > this.#limits.connectionsPerAddress) {
      return leaving(household.strangers, socket, 'too-many-from-address');
    }
    return this.#all.size > this.#limits.connections ? leaving(this.#strangers, socket, 'too-many') : null;
  }

  vouchFor(socket: Socket): void {
    this.#strangers.delete(socket);
    this.#households.get(this.#all.get(socket) ?? '')?.strangers.delete(socket);
  }

  /** More than once is fine. */
  leave(socket: Socket): void {
    const address = this.#all.get(socket);
    if (address === undefined) return;
    this.vouchFor(socket);
    this.#all.delete(socket);
    const household = this.#households.get(address);
    if (!household) return;
    household.count -= 1;
    if (household.count === 0) this.#households.delete(address);
  }
}

const leaving = (strangers: ReadonlySet<Socket>, newcomer: Socket, reason: NoPlace): Leaving => {
  const [oldest = newcomer] = strangers;
  return oldest === newcomer ? { socket: newcomer, reason } : { socket: oldest, reason: 'made-room' };
};
