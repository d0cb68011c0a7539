// Who is online, as told by any number of gateways. A gateway may restart, and its nodes need a while to come back to it:
// what was known of a node stands for LINGER_MS unless a gateway says that the node itself has gone.

export const LINGER_MS = 90_000;

/** Whom a gateway vouches for, and who left it. Whether these are all it sees, or only what changed, makes no difference here. */
export interface PresenceNews {
  readonly gatewayId: string;
  readonly nodes: readonly { readonly nodeId: bigint; readonly online: boolean }[];
}

/** For each gateway, until when each of its nodes counts as online. */
export interface Presence {
  readonly gateways: ReadonlyMap<string, ReadonlyMap<bigint, number>>;
}

/** Not a gateway's id: what we assume ourselves. */
const ASSUMED = '';

export const nobody: Presence = { gateways: new Map() };

/** Several pieces of news in one go: a thousand nodes that join cost one copy. */
export function hear(presence: Presence, news: readonly PresenceNews[], now: number): Presence {
  const gateways = new Map(presence.gateways);
  const assumed = new Map(gateways.get(ASSUMED));
  gateways.set(ASSUMED, assumed);
  const copies = new Map<string, Map<bigint, number>>();
  for (const { gatewayId, nodes } of news) {
    const known = copies.get(gatewayId) ?? new Map(gateways.get(gatewayId));
    copies.set(gatewayId, known);
    gateways.set(gatewayId, known);
    for (const { nodeId, online } of nodes) {
      assumed.delete(nodeId);
      if (online) known.set(nodeId, now + LINGER_MS);
      else known.delete(nodeId);
    }
  }
  return { gateways };
}

/** After a restart of ours: nodes at work on a task count as online until a gateway has had the time to say otherwise. */
export function assume(presence: Presence, nodes: Iterable<bigint>, now: number): Presence {
  const assumed = new Map(presence.gateways.get(ASSUMED));
  for (const node of nodes) assumed.set(node, now + LINGER_MS);
  return { gateways: new Map(presence.gateways).set(ASSUMED, assumed) };
}

/** Drops what nobody has vouched for in time. */
export function expire(presence: Presence, now: number): Presence {
  const gateways = new Map<string, ReadonlyMap<bigint, number>>();
  for (const [gateway, nodes] of presence.gateways) {
    const living = new Map([...nodes].filter(([, until]) => until > now));
    if (living.size > 0) gateways.set(gateway, living);
  }
  return { gateways };
}

/** After we ourselves were cut off: silence meanwhile says nothing about the nodes. */
export function vouchAgain(presence: Presence, now: number): Presence {
  const gateways = new Map<string, ReadonlyMap<bigint, number>>();
  for (const [gateway, nodes] of presence.gateways) {
    gateways.set(gateway, new Map([...nodes.keys()].map((node) => [node, now + LINGER_MS])));
  }
  return { gateways };
}

export function online(presence: Presence): ReadonlySet<bigint> {
  const nodes = new Set<bigint>();
  for (const gateway of presence.gateways.values()) for (const node of gateway.keys()) nodes.add(node);
  return nodes;
}
