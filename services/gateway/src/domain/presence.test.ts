import { describe, expect, it } from 'vitest';
import { Elsewhere, Roster, SNAPSHOT_SECONDS } from './presence.ts';

const idle = () => false;

describe('roster', () => {
  it('tells a node that came from one that is still there', () => {
    const roster = new Roster();
    expect(roster.see(1n, 30, 0)).toBe(true);
    expect(roster.see(1n, 30, 10)).toBe(false);
    expect(roster.drop(1n)).toBe(true);
    expect(roster.drop(1n)).toBe(false);
    expect(roster.see(1n, 30, 20)).toBe(true);
  });

  it('expires whoever was silent for two of its own intervals, and nobody else', () => {
    const roster = new Roster();
    roster.see(1n, 10, 0);
    roster.see(2n, 30, 0);
    roster.see(3n, 10, 5_000);
    expect(roster.expire(19_999, idle)).toEqual([]);
    expect(roster.expire(20_000, idle)).toEqual([{ nodeId: 1n, lastSeenAt: 0 }]);
    expect(roster.snapshot()).toEqual([
      { nodeId: 2n, online: true },
      { nodeId: 3n, online: true },
    ]);
    expect(roster.expire(60_000, idle).map(({ nodeId }) => nodeId)).toEqual([2n, 3n]);
  });
});

describe('a node with a long interval', () => {
  it('is there as long as it may be while it works, and for a minute while it should be asking for work', () => {
    const roster = new Roster();
    roster.see(1n, 1800, 0);
    roster.see(2n, 1800, 0);
    expect(roster.expire(60_000, (nodeId) => nodeId === 1n).map(({ nodeId }) => nodeId)).toEqual([2n]);
    expect(roster.expire(3_599_999, (nodeId) => nodeId === 1n)).toEqual([]);
    expect(roster.expire(3_600_000, (nodeId) => nodeId === 1n)).toHaveLength(1);
  });
});

describe('a node whose last connection closed', () => {
  it('is given one interval to come back instead of two', () => {
    const roster = new Roster();
    roster.see(1n, 30, 0);
    roster.cutOff(1n, 5_000);
    expect(roster.expire(34_999, idle)).toEqual([]);
    expect(roster.expire(35_000, idle)).toEqual([{ nodeId: 1n, lastSeenAt: 0 }]);
  });

  it('has the usual time again once it called', () => {
    const roster = new Roster();
    roster.see(1n, 30, 0);
    roster.cutOff(1n, 5_000);
    roster.see(1n, 30, 20_000);
    expect(roster.expire(79_999, idle)).toEqual([]);
  });

  it('never gets more time than a silent one', () => {
    const roster = new Roster();
    roster.see(1n, 30, 0);
    roster.cutOff(1n, 50_000);
    expect(roster.expire(59_999, idle)).toEqual([]);
    expect(roster.expire(60_000, idle)).toHaveLength(1);
  });

  it('is nothing to a roster that does not know the node', () => {
    const roster = new Roster();
    roster.cutOff(1n, 0);
    expect(roster.has(1n)).toBe(false);
  });
});

describe('other gateways', () => {
  it('replaces what a gateway said by its snapshot and changes it by its news', () => {
    const elsewhere = new Elsewhere();
    expect(elsewhere.hasNeighbours).toBe(false);
    elsewhere.hear('b', true, [{ nodeId: 1n, online: true }], 0);
    elsewhere.hear('b', false, [{ nodeId: 2n, online: true }], 0);
    elsewhere.hear('b', false, [{ nodeId: 1n, online: false }], 0);
    expect([1n, 2n].map((nodeId) => elsewhere.isOnline(nodeId, 1))).toEqual([false, true]);
    elsewhere.hear('b', true, [{ nodeId: 3n, online: true }], 0);
    expect([2n, 3n].map((nodeId) => elsewhere.isOnline(nodeId, 1))).toEqual([false, true]);
    expect(elsewhere.hasNeighbours).toBe(true);
  });

  it('does not believe a gateway that fell silent', () => {
    const elsewhere = new Elsewhere();
    elsewhere.hear('b', true, [{ nodeId: 1n, online: true }], 0);
    expect(elsewhere.isOnline(1n, SNAPSHOT_SECONDS.believed * 1000 + 1)).toBe(false);
  });
});
