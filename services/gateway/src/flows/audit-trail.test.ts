import { AegisError } from '@aegis/errors';
import { silentLogger } from '@aegis/service-kit';
import { eventually, FakeClock } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import type { AuditEntry, Noted } from '../domain/audit.ts';
import { MemoryAuditStore } from '../store/memory.ts';
import { AuditTrail } from './audit-trail.ts';

const removed = (subject: string): Noted => ({ event: 'node-removed', actor: 'operator', subject });

/** A store that can be away, and tells how many pages it was given. */
class Store extends MemoryAuditStore {
  away = false;
  pages = 0;
  hold: Promise<void> = Promise.resolve();

  override async append(entries: readonly AuditEntry[]): Promise<void> {
    await this.hold;
    if (this.away) throw new AegisError('STORE_UNAVAILABLE');
    this.pages += 1;
    await super.append(entries);
  }
}
const trailOn = (store: Store | null) => {
  const clock = new FakeClock(1_000);
  return {
    clock,
    trail: new AuditTrail({ store, id: 'g1', clock, log: silentLogger, traceId: () => 'ab'.repeat(16) }),
  };
};

describe('the audit trail', () => {
  it('writes what was noted, by whom and when, before it says so', async () => {
    const store = new Store();
    await trailOn(store).trail.note({ ...removed('node 1'), detail: 'line\nbreak' });
    expect(store.entries).toEqual([
      {
        ...{ event: 'node-removed', at: 1_000, by: 'g1', actor: 'operator', subject: 'node 1' },
        ...{ detail: 'line?break', trace: 'ab'.repeat(16) },
      },
    ]);
  });

  it('gives what comes while a page is written one page together, in order', async () => {
    const store = new Store();
    const { trail } = trailOn(store);
    const held = Promise.withResolvers<void>();
    store.hold = held.promise;
    const first = trail.note(removed('0'));
    await Promise.resolve();
    const rest = Array.from({ length: 100 }, (_, at) => trail.note(removed(`${at + 1}`)));
    held.resolve();
    await Promise.all([first, ...rest]);
    expect(store.entries.map(({ subject }) => subject)).toEqual(Array.from({ length: 101 }, (_, at) => `${at}`));
    expect(store.pages).toBeLessThanOrEqual(3);
  });

  it('writes what is noted the moment an earlier entry is written', async () => {
    const store = new Store();
    const { trail } = trailOn(store);
    for (const subject of ['1', '2', '3']) await trail.note(removed(subject));
    expect(store.entries.map(({ subject }) => subject)).toEqual(['1', '2', '3']);
  });

  it('tells who waits that the store is away, and writes the rest when it is back', async () => {
    const store = new Store();
    const { trail, clock } = trailOn(store);
    store.away = true;
    trail.noteSoon({ event: 'caller-refused', actor: '192.0.2.7' });
    await expect(trail.note(removed('1'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    store.away = false;
    await eventually(async () => {
      await clock.advance(1_000);
      expect(store.entries).toMatchObject([{ event: 'caller-refused' }]);
    });
  });

  it('counts what a flood left no room for, and writes the number down', async () => {
    const store = new Store();
    const { trail, clock } = trailOn(store);
    store.away = true;
    for (let at = 0; at < 1_500; at += 1) trail.noteSoon({ event: 'caller-refused', actor: `a${at}` });
    await eventually(() => store.pages === 0);
    store.away = false;
    await eventually(async () => {
      await clock.advance(1_000);
      const lost = store.entries.filter(({ event }) => event === 'entries-lost');
      const refused = store.entries.filter(({ event }) => event === 'caller-refused');
      expect(refused.length + lost.reduce((sum, { detail }) => sum + Number(detail), 0)).toBe(1_500);
      expect(lost.length).toBeGreaterThan(0);
    });
  });

  it('keeps nothing without a store, and says so to who reads', async () => {
    const { trail } = trailOn(null);
    await trail.note(removed('1'));
    expect(() => trail.read(0)).toThrow(expect.objectContaining({ code: 'AUDIT_NOT_KEPT' }));
  });

  it('is written out when the gateway ends, and does not hold it up when it cannot be', async () => {
    const store = new Store();
    const { trail } = trailOn(store);
    trail.noteSoon({ event: 'gateway-stopped', actor: 'gateway' });
    await trail.close();
    expect(store.entries).toHaveLength(1);
    store.away = true;
    trail.noteSoon({ event: 'gateway-stopped', actor: 'gateway' });
    await trail.close();
    expect(store.entries).toHaveLength(1);
  });
});
