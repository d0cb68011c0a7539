// Who is online, as told by any number of gateways. A gateway may restart, and its nodes need a while to come back to it:
// what was known of a node stands for LINGER_MS unless a gateway says that the node itself has gone.

export const LINGER_MS = 90_000;

export interface PresenceNews {
  readonly gatewayId: string;
  /** `nodes` is everyone the gateway sees; otherwise only what changed. */
  readonly snapshot: boolean;
  readonly nodes: readonly { readonly nodeId: bigint; readonly online: boolean }[];
}

/** For each gateway, until when each of its nodes counts as online. */
export interface Presence {
  readonly gateways: ReadonlyMap<string, ReadonlyMap<bigint, number>>;
}

/** Not a gateway's id: what we assume ourselves. */
const ASSUMED = '';

export const nobody: Presence = { gateways: new Map() };

export function hear(presence: Presence, news: PresenceNews, now: number): Presence {
  const known = presence.gateways.get(news.gatewayId);
  const nodes = new Map(known);
  const until = now + LINGER_MS;
  // a gateway that speaks vouches for everyone it has not said to be gone; a snapshot vouches only for whom it names
  if (!news.snapshot) for (const node of nodes.keys()) nodes.set(node, until);
  const assumed = new Map(presence.gateways.get(ASSUMED));
  for (const { nodeId, online } of news.nodes) {
    assumed.delete(nodeId);
    if (online) nodes.set(nodeId, until);
    else nodes.delete(nodeId);
  }
  return { gateways: new Map(presence.gateways).set(ASSUMED, assumed).set(news.gatewayId, nodes) };
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
