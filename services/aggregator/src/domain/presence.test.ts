import { describe, expect, it } from 'vitest';
import {
  assume,
  expire,
  hear as hearAll,
  LINGER_MS,
  meet,
  miss,
  nobody,
  OVERDUE_MS,
  online,
  type PresenceNews,
  vouchAgain,
} from './presence.ts';

const says = (gatewayId: string, ...nodes: bigint[]) => ({
  gatewayId,
  snapshot: false,
  nodes: nodes.map((nodeId) => ({ nodeId, online: true })),
});
const gone = (gatewayId: string, ...nodes: bigint[]) => ({
  gatewayId,
  snapshot: false,
  nodes: nodes.map((nodeId) => ({ nodeId, online: false })),
});
const sees = (gatewayId: string, ...nodes: bigint[]) => ({ ...says(gatewayId, ...nodes), snapshot: true });
const hear = (presence: typeof nobody, news: PresenceNews, now: number) => hearAll(presence, [news], now);
const list = (presence: typeof nobody) => [...online(presence)].sort();

describe('presence', () => {
  it('is what a gateway says', () => {
    const heard = hear(hear(nobody, sees('g', 1n, 2n), 0), says('g', 3n), 1);
    expect(list(heard)).toEqual([1n, 2n, 3n]);
    expect(list(hear(heard, gone('g', 2n), 2))).toEqual([1n, 3n]);
  });

  it('knows nodes by kind and unit for as long as somebody vouches for them', () => {
    const news = (unit: string | undefined, kind?: 'native') => ({
      gatewayId: 'g',
      snapshot: false,
      nodes: [{ nodeId: 1n, online: true, kind, unit }],
    });
    const heard = hear(nobody, news('k-1', 'native'), 0);
    expect([heard.kinds.get(1n), heard.units.get(1n)]).toEqual(['native', 'k-1']);
    const again = hear(heard, news('k-1', 'native'), 1);
    expect([again.kinds, again.units]).toEqual([heard.kinds, heard.units]);
    expect(again.units).toBe(heard.units);
    expect(hear(again, gone('g', 1n), 2).units.get(1n)).toBe('k-1');
    expect(hear(again, news('k-2'), 2).units.get(1n)).toBe('k-2');
    expect(hear(again, news(undefined), 2).units.size).toBe(0);
    expect(expire(again, LINGER_MS + 1).units.size).toBe(0);
  });

  it('is the same heard at once or one by one', () => {
    const news = [sees('g', 1n, 2n), says('h', 3n), gone('g', 2n), says('g', 4n), gone('h', 3n)];
    expect(hearAll(nobody, news, 5)).toEqual(news.reduce((heard, one) => hear(heard, one, 5), nobody));
  });

  it('is the union over gateways', () => {
    const heard = hear(hear(nobody, sees('g', 1n), 0), sees('h', 2n), 0);
    expect(list(heard)).toEqual([1n, 2n]);
  });

  it('drops a node that said goodbye, whatever a gateway said of it that is no more', () => {
    const restarted = hear(hear(nobody, says('g', 1n, 2n), 0), says('h', 1n, 2n), 1);
    const bye = { gatewayId: 'h', snapshot: false, nodes: [{ nodeId: 1n, online: false, left: true }] };
    expect(list(hear(restarted, bye, 2))).toEqual([2n]);
    expect(list(hear(hear(restarted, bye, 2), says('g', 1n), 3))).toEqual([1n, 2n]);
    expect(list(restarted)).toEqual([1n, 2n]);
    expect(hearAll(nobody, [says('g', 1n), bye], 5)).toEqual(hear(hear(nobody, says('g', 1n), 5), bye, 5));
  });

  it('keeps a node that left one gateway for another', () => {
    const moved = hear(hear(hear(nobody, says('g', 1n), 0), says('h', 1n), 1), gone('g', 1n), 2);
    expect(list(moved)).toEqual([1n]);
  });

  it('keeps the nodes of a restarted gateway until they have had time to come back', () => {
    const restarted = hear(hear(nobody, sees('g', 1n, 2n), 0), sees('g', 1n), 1000);
    expect(list(expire(restarted, LINGER_MS - 1))).toEqual([1n, 2n]);
    expect(list(expire(restarted, LINGER_MS))).toEqual([1n]);
  });

  it('forgets the nodes of a gateway that has gone silent', () => {
    const heard = hear(nobody, sees('g', 1n), 0);
    expect(list(expire(heard, LINGER_MS))).toEqual([]);
  });

  it('lets a gateway vouch by its snapshots, for whom it names', () => {
    const first = hear(nobody, sees('g', 1n, 2n), 0);
    expect(list(expire(hear(first, sees('g', 1n, 2n), LINGER_MS - 1), LINGER_MS + 1))).toEqual([1n, 2n]);
    const ghost = hear(hear(first, sees('g', 1n), 10), says('g', 3n), LINGER_MS - 1);
    expect(list(expire(ghost, LINGER_MS))).toEqual([1n, 3n]);
  });

  it('holds nobody responsible for our own silence', () => {
    const heard = vouchAgain(hear(nobody, sees('g', 1n), 0), LINGER_MS);
    expect(list(expire(heard, LINGER_MS + 1))).toEqual([1n]);
  });

  it('assumes nodes at work until a gateway says otherwise, or says nothing', () => {
    const assumed = assume(nobody, [1n, 2n, 3n], 0);
    expect(list(assumed)).toEqual([1n, 2n, 3n]);
    const told = hear(hear(assumed, sees('g', 1n), 1), gone('g', 2n), 2);
    expect(list(told)).toEqual([1n, 3n]);
    expect(list(expire(told, LINGER_MS))).toEqual([1n]);
  });
});

describe('what kind a node is', () => {
  const cameAs = (nodeId: bigint, kind?: 'native' | 'join') => ({
    gatewayId: 'g',
    snapshot: false,
    nodes: [{ nodeId, online: true, kind }],
  });

  it('is known of those that are not plain, from any news of them, for as long as they are known', () => {
    const joined = hear(hear(nobody, cameAs(1n, 'join'), 0), cameAs(2n), 0);
    expect([...joined.kinds]).toEqual([[1n, 'join']]);
    expect(hear(joined, cameAs(1n, 'join'), 1).kinds).toBe(joined.kinds);
    expect([...hear(joined, cameAs(1n), 1).kinds]).toEqual([]);
    expect([...hear(joined, cameAs(1n, 'native'), 1).kinds]).toEqual([[1n, 'native']]);
    expect([...expire(joined, LINGER_MS - 1).kinds]).toEqual([[1n, 'join']]);
    expect([...expire(joined, LINGER_MS + 1).kinds]).toEqual([]);
  });
});

describe('whether a node can mask', () => {
  const came = (nodeId: bigint, canMask?: boolean) => ({
    gatewayId: 'g',
    snapshot: true,
    nodes: [{ nodeId, online: true, canMask }],
  });

  it('is as it was told last, for as long as the node is known', () => {
    const both = hear(hear(nobody, came(1n, true), 0), came(2n, false), 0);
    expect([...both.masks.keys()]).toEqual([1n]);
    expect(hear(both, came(1n, true), 1).masks).toBe(both.masks);
    expect(hear(both, gone('g', 1n), 1).masks).toBe(both.masks);
    expect([...hear(both, came(2n, true), 1).masks.keys()]).toEqual([1n, 2n]);
    expect([...hear(both, came(1n), 1).masks.keys()]).toEqual([]);
    expect([...expire(both, LINGER_MS + 1).masks.keys()]).toEqual([]);
  });
});

describe('a node that let a deadline pass', () => {
  const late = miss(hear(nobody, sees('g', 1n, 2n), 0), [1n], 10);
  const overdue = (presence: typeof nobody) => [...presence.overdue.keys()];

  it('is online and overdue, whatever a snapshot repeats', () => {
    expect(list(late)).toEqual([1n, 2n]);
    expect(overdue(hear(late, sees('g', 1n, 2n), 20))).toEqual([1n]);
  });

  it('may be selected again when a gateway tells that it showed itself, or when it was heard late', () => {
    expect(overdue(hear(late, says('g', 2n), 20))).toEqual([1n]);
    expect(overdue(hear(late, gone('g', 1n), 20))).toEqual([1n]);
    expect(overdue(hear(late, says('g', 1n), 20))).toEqual([]);
    expect(overdue(meet(late, 1n))).toEqual([]);
    expect(meet(late, 2n)).toBe(late);
  });

  it('is tried again in the end: news can be lost', () => {
    expect(overdue(expire(late, 9 + OVERDUE_MS))).toEqual([1n]);
    expect(overdue(expire(late, 10 + OVERDUE_MS))).toEqual([]);
  });
});
