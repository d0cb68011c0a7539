import { type NodeRecord, onlineUntil } from './node.ts';

/** What a node may be given, if not all of it: `native` has no app and no first model, `join` has no identity. */
export type NodeKind = 'native' | 'join';

export interface PresenceChange {
  readonly nodeId: bigint;
  readonly online: boolean;
  /** Not online, and nowhere else either: it said goodbye, or was removed. */
  readonly left?: boolean | undefined;
  /** Absent: it runs the app's own code. */
  readonly kind?: NodeKind | undefined;
  /** The pseudonym that privacy budgets know it by; absent: none. */
  readonly unit?: string | undefined;
  /** That of the user whose node it is; absent: none is known. */
  readonly user?: string | undefined;
  /** Takes part in secure aggregation. */
  readonly canMask?: boolean | undefined;
}

/** The news that this node is there. */
export const present = ({
  nodeId,
  dialect,
  canMask,
}: Pick<NodeRecord, 'nodeId' | 'dialect' | 'canMask'>): PresenceChange => ({
  nodeId,
  online: true,
  ...((dialect === 'native' || dialect === 'join') && { kind: dialect }),
  // Functions of its own, as a native client has: it is asked for no first model.
  ...(dialect === 'rest' && { kind: 'native' }),
  ...(canMask && { canMask }),
});

/** Every gateway repeats its snapshot, so that a gateway that died is noticed: nobody believes an old one. */
export const SNAPSHOT_SECONDS = { every: 15, believed: 50 } as const;

type As = Pick<PresenceChange, 'kind' | 'unit' | 'user' | 'canMask'>;

interface Seen {
  readonly at: number;
  readonly heartbeatSeconds: number;
  readonly kind: NodeKind | undefined;
  readonly unit: string | undefined;
  readonly user: string | undefined;
  readonly canMask: boolean | undefined;
  /** When its last connection closed; a node that is there heartbeats over a new one within its interval. */
  readonly cutOffAt?: number;
}

const expiryOf = ({ at, heartbeatSeconds, cutOffAt }: Seen, atTask: boolean): number =>
  Math.min(
    onlineUntil(at, heartbeatSeconds, atTask),
    cutOffAt === undefined ? Infinity : cutOffAt + heartbeatSeconds * 1000,
  );

/**
 * Who is online at this gateway, by signs of life. Every authenticated call of an activated node is one: a node whose
 * heartbeat thread died but which goes on pulling is there. Times are of the monotonic clock.
 */
export class Roster {
  readonly #seen = new Map<bigint, Seen>();

  /** True when the node was not online before, or as something else. */
  see(nodeId: bigint, heartbeatSeconds: number, now: number, as: As = {}): boolean {
    const { kind, unit, user, canMask } = as;
    const before = this.#seen.get(nodeId);
    this.#seen.set(nodeId, { at: now, heartbeatSeconds, kind, unit, user, canMask });
    if (before === undefined || before.kind !== kind || before.canMask !== canMask) return true;
    return before.unit !== unit || before.user !== user;
  }

  /** No connection of the node is open any more. Its next call makes up for that. */
  cutOff(nodeId: bigint, now: number): void {
    const seen = this.#seen.get(nodeId);
    if (seen) this.#seen.set(nodeId, { ...seen, cutOffAt: now });
  }

  /** True when the node was online before. */
  drop(nodeId: bigint): boolean {
    return this.#seen.delete(nodeId);
  }

  has(nodeId: bigint): boolean {
    return this.#seen.has(nodeId);
  }

  get size(): number {
    return this.#seen.size;
  }

  lastSeen(nodeId: bigint): number | undefined {
    return this.#seen.get(nodeId)?.at;
  }

  heartbeatSeconds(nodeId: bigint): number | undefined {
    return this.#seen.get(nodeId)?.heartbeatSeconds;
  }

  /** Takes out everyone whose time is over, with the moment each was last seen. Who is at a task has longer. */
  expire(now: number, isAtTask: (nodeId: bigint) => boolean): { nodeId: bigint; lastSeenAt: number }[] {
    const gone: { nodeId: bigint; lastSeenAt: number }[] = [];
    for (const [nodeId, seen] of this.#seen) {
      if (expiryOf(seen, isAtTask(nodeId)) > now) continue;
      this.#seen.delete(nodeId);
      gone.push({ nodeId, lastSeenAt: seen.at });
    }
    return gone;
  }

  snapshot(): PresenceChange[] {
    return [...this.#seen].map(([nodeId, { kind, unit, user, canMask }]) => ({
      nodeId,
      online: true,
      ...(kind && { kind }),
      ...(unit && { unit }),
      ...(user && { user }),
      ...(canMask && { canMask }),
    }));
  }
}

/** Who is online at the other gateways, by their word. A gateway that fell silent counts no longer. Monotonic times. */
export class Elsewhere {
  readonly #gateways = new Map<string, { nodes: Set<bigint>; heardAt: number }>();

  hear(gatewayId: string, isSnapshot: boolean, changes: readonly PresenceChange[], now: number): void {
    const known = this.#gateways.get(gatewayId);
    const nodes = isSnapshot || !known ? new Set<bigint>() : known.nodes;
    this.#gateways.set(gatewayId, { nodes, heardAt: now });
    for (const { nodeId, online, left } of changes) {
      if (online) nodes.add(nodeId);
      else nodes.delete(nodeId);
      if (left) for (const other of this.#gateways.values()) other.nodes.delete(nodeId);
    }
  }

  isOnline(nodeId: bigint, now: number): boolean {
    for (const { nodes, heardAt } of this.#gateways.values()) {
      if (heardAt + SNAPSHOT_SECONDS.believed * 1000 > now && nodes.has(nodeId)) return true;
    }
    return false;
  }

  /** Gateways besides this one, by their word. */
  neighbours(now: number): number {
    let count = 0;
    for (const { heardAt } of this.#gateways.values()) if (heardAt + SNAPSHOT_SECONDS.believed * 1000 > now) count += 1;
    return count;
  }

  /** Another gateway spoke at some time: uploads may be shared with it. */
  get hasNeighbours(): boolean {
    return this.#gateways.size > 0;
  }
}
