import type { Bus } from '@aegis/bus';
import { NodeKind as WireKind, type Presence as WirePresence } from '@aegis/contracts/aegis/events/v1/task';
import type { Clock, Logger } from '@aegis/service-kit';
import {
  assume,
  expire,
  hear,
  meet,
  miss,
  type NodeKind,
  nobody,
  online,
  type Presence,
  type PresenceNews,
  vouchAgain,
} from '../../domain/presence.ts';
import type { PresenceView } from '../contract.ts';

/** A gateway that is still there answers this; one that is silent three times is taken for gone. */
const ASK_EVERY_MS = 30_000;

export interface NatsPresence extends PresenceView {
  close(): void;
}

export async function natsPresence(bus: Bus, clock: Clock, log: Logger): Promise<NatsPresence> {
  const closing = new AbortController();
  const listeners = new Set<() => void>();
  let presence: Presence = nobody;
  let nodes: ReadonlySet<bigint> = new Set();
  let overdue: ReadonlySet<bigint> = new Set();
  let kinds = nobody.kinds;
  let units = nobody.units;
  let users = nobody.users;
  let masks = nobody.masks;
  let maskers: ReadonlySet<bigint> = new Set();
  let timer: { cancel(): void } | undefined;

  const become = (next: Presence): void => {
    presence = next;
    const now = online(next);
    const traits = [next.kinds !== kinds, next.units !== units, next.users !== users, next.masks !== masks];
    const changed = !sameNodes(now, nodes) || !sameNodes(next.overdue, overdue) || traits.some((trait) => trait);
    kinds = next.kinds;
    units = next.units;
    users = next.users;
    if (next.masks !== masks) maskers = new Set(next.masks.keys());
    masks = next.masks;
    if (!changed) return;
    nodes = now;
    overdue = new Set(next.overdue.keys());
    for (const listener of listeners) listener();
  };
  const ask = (): void => bus.publish('presence-ask', {});
  const again = (): void => {
    timer = clock.schedule(ASK_EVERY_MS, () => {
      // cut off, we hear nobody: that says nothing about the nodes
      if (bus.ready()) become(expire(presence, clock.monotonic()));
      ask();
      again();
    });
  };
  const news = await bus.subscribe('presence', closing.signal);
  const pending: PresenceNews[] = [];
  const listen = async (): Promise<void> => {
    for await (const { message } of news) {
      // what came in one turn of the event loop is heard together
      if (pending.push(toNews(message)) > 1) continue;
      setImmediate(() => become(hear(presence, pending.splice(0), clock.monotonic())));
    }
  };
  listen().catch((error: unknown) => {
    if (!closing.signal.aborted) log.error({ err: error }, 'presence events have stopped');
  });
  const stopStatus = bus.onStatus((ready) => {
    if (!ready) return;
    become(vouchAgain(presence, clock.monotonic()));
    ask();
  });
  ask();
  again();

  return {
    online: () => nodes,
    kinds: () => kinds,
    units: (kind) => (kind === 'user' ? users : units),
    masks: () => maskers,
    overdue: () => overdue,
    miss: (missed) => become(miss(presence, missed, clock.monotonic())),
    meet: (node) => become(meet(presence, node)),
    assume: (assumed) => become(assume(presence, assumed, clock.monotonic())),
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => {
      stopStatus();
      timer?.cancel();
      closing.abort();
    },
  };
}

const kindOf: Readonly<Partial<Record<WireKind, NodeKind>>> = { [WireKind.NATIVE]: 'native', [WireKind.JOIN]: 'join' };
const toNews = ({ gatewayId, snapshot, nodes }: WirePresence): PresenceNews => ({
  gatewayId,
  snapshot,
  nodes: nodes.map(({ nodeId, online, left, kind, unit, user, canMask }) => ({
    nodeId,
    online,
    left,
    kind: kindOf[kind],
    canMask,
    ...(unit !== '' && { unit }),
    ...(user !== '' && { user }),
  })),
});

type Nodes = Pick<ReadonlySet<bigint>, 'size' | 'has'>;
const sameNodes = (now: Nodes & { keys(): Iterable<bigint> }, before: Nodes): boolean =>
  now.size === before.size && [...now.keys()].every((node) => before.has(node));
