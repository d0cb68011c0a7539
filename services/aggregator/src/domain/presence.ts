// Who is online, as told by any number of gateways. A gateway may restart, and its nodes need a while to come back to it:
// what was known of a node stands for LINGER_MS unless a gateway says that the node itself has gone. All times are monotonic.

export const LINGER_MS = 90_000;
/** Whoever let a deadline pass and shows no new sign of life is tried again after this: the sign may have been lost. */
export const OVERDUE_MS = 3_600_000;

/** What a node may be given, if not all of it: `native` has no app and no first model, `join` has no identity. */
export type NodeKind = 'native' | 'join';

/** Whom a gateway vouches for, and who left it: all that it sees (`snapshot`), or what changed, which is a sign of life. */
export interface PresenceNews {
  readonly gatewayId: string;
  readonly snapshot: boolean;
  readonly nodes: readonly {
    readonly nodeId: bigint;
    readonly online: boolean;
    /** Not online anywhere: it said goodbye, or was removed. */
    readonly left?: boolean | undefined;
    readonly kind?: NodeKind | undefined;
    readonly unit?: string | undefined;
    readonly user?: string | undefined;
    readonly canMask?: boolean | undefined;
  }[];
}

/** For each gateway, until when each of its nodes counts as online. */
export interface Presence {
  readonly gateways: ReadonlyMap<string, ReadonlyMap<bigint, number>>;
  /** Online, but with no answer to its last task at its deadline: until when it is left out. */
  readonly overdue: ReadonlyMap<bigint, number>;
  /** Of the nodes that are not plain ones. */
  readonly kinds: ReadonlyMap<bigint, NodeKind>;
  /** Pseudonyms that privacy budgets know nodes by. Who has none takes no part in private runs. */
  readonly units: ReadonlyMap<bigint, string>;
  /** The same for the users whose nodes they are, where that is known. Several nodes may have one. */
  readonly users: ReadonlyMap<bigint, string>;
  /** Those that take part in secure aggregation. */
  readonly masks: ReadonlyMap<bigint, true>;
}

/** Not a gateway's id: what we assume ourselves. */
const ASSUMED = '';

export const nobody: Presence = {
  gateways: new Map(),
  overdue: new Map(),
  kinds: new Map(),
  units: new Map(),
  users: new Map(),
  masks: new Map(),
};

/** Several pieces of news in one go: a thousand nodes that join cost one copy. */
export function hear(presence: Presence, news: readonly PresenceNews[], now: number): Presence {
  const gateways = new Map(presence.gateways);
  const assumed = new Map(gateways.get(ASSUMED));
  gateways.set(ASSUMED, assumed);
  const overdue = new Map(presence.overdue);
  const copies = new Map([[ASSUMED, assumed]]);
  const ownOf = (gatewayId: string): Map<bigint, number> => {
    const own = copies.get(gatewayId) ?? new Map(gateways.get(gatewayId));
    copies.set(gatewayId, own);
    gateways.set(gatewayId, own);
    return own;
  };
  const kinds = new Changing(presence.kinds);
  const units = new Changing(presence.units);
  const users = new Changing(presence.users);
  const masks = new Changing<true>(presence.masks);
  for (const { gatewayId, snapshot, nodes } of news) {
    const known = ownOf(gatewayId);
    for (const { nodeId, online, left, kind, unit, user, canMask } of nodes) {
      if (online) kinds.put(nodeId, kind);
      if (online) units.put(nodeId, unit);
      if (online) users.put(nodeId, user);
      if (online) masks.put(nodeId, canMask || undefined);
      assumed.delete(nodeId);
      if (online && !snapshot) overdue.delete(nodeId);
      if (online) known.set(nodeId, now + LINGER_MS);
      else known.delete(nodeId);
      if (!left) continue;
      for (const [other, theirs] of gateways) if (theirs.has(nodeId)) ownOf(other).delete(nodeId);
    }
  }
  return { gateways, overdue, kinds: kinds.now, units: units.now, users: users.now, masks: masks.now };
}

/** A map that is copied with its first change: what stayed as it was is the same object. */
class Changing<T> {
  now: ReadonlyMap<bigint, T>;
  private own: Map<bigint, T> | null = null;

  constructor(before: ReadonlyMap<bigint, T>) {
    this.now = before;
  }

  put(node: bigint, value: T | undefined): void {
    if (this.now.get(node) === value) return;
    this.own ??= new Map(this.now);
    this.now = this.own;
    if (value === undefined) this.own.delete(node);
    else this.own.set(node, value);
  }
}

/** These let a deadline pass. */
export function miss(presence: Presence, nodes: Iterable<bigint>, now: number): Presence {
  const overdue = new Map(presence.overdue);
  for (const node of nodes) overdue.set(node, now + OVERDUE_MS);
  return { ...presence, overdue };
}

/** The node itself was heard, if too late. */
export function meet(presence: Presence, node: bigint): Presence {
  if (!presence.overdue.has(node)) return presence;
  const overdue = new Map(presence.overdue);
  overdue.delete(node);
  return { ...presence, overdue };
}

/** After a restart of ours: nodes at work on a task count as online until a gateway has had the time to say otherwise. */
export function assume(presence: Presence, nodes: Iterable<bigint>, now: number): Presence {
  const assumed = new Map(presence.gateways.get(ASSUMED));
  for (const node of nodes) assumed.set(node, now + LINGER_MS);
  return { ...presence, gateways: new Map(presence.gateways).set(ASSUMED, assumed) };
}

/** Drops what nobody has vouched for in time. */
export function expire(presence: Presence, now: number): Presence {
  const gateways = new Map<string, ReadonlyMap<bigint, number>>();
  for (const [gateway, nodes] of presence.gateways) {
    const living = new Map([...nodes].filter(([, until]) => until > now));
    if (living.size > 0) gateways.set(gateway, living);
  }
  const known = new Set([...gateways.values()].flatMap((nodes) => [...nodes.keys()]));
  return {
    gateways,
    overdue: new Map([...presence.overdue].filter(([, until]) => until > now)),
    kinds: only(presence.kinds, known),
    units: only(presence.units, known),
    users: only(presence.users, known),
    masks: only(presence.masks, known),
  };
}

const only = <T>(all: ReadonlyMap<bigint, T>, known: ReadonlySet<bigint>): ReadonlyMap<bigint, T> =>
  [...all.keys()].every((node) => known.has(node)) ? all : new Map([...all].filter(([node]) => known.has(node)));

/** After we ourselves were cut off: silence meanwhile says nothing about the nodes. */
export function vouchAgain(presence: Presence, now: number): Presence {
  const gateways = new Map<string, ReadonlyMap<bigint, number>>();
  for (const [gateway, nodes] of presence.gateways) {
    gateways.set(gateway, new Map([...nodes.keys()].map((node) => [node, now + LINGER_MS])));
  }
  return { ...presence, gateways };
}

export function online(presence: Presence): ReadonlySet<bigint> {
  const nodes = new Set<bigint>();
  for (const gateway of presence.gateways.values()) for (const node of gateway.keys()) nodes.add(node);
  return nodes;
}
