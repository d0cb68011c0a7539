import { conformanceSuite } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { Book } from '../domain/book.ts';
import type { Entry } from '../domain/entry.ts';
import { BEGINNING, type Page, type Position, StaleWrite, type Stores } from './contract.ts';

// What every implementation must do. `other` is the same place as another process sees it.

const opened = (epoch: number): Entry => ({ at: 1_750_000_000_000, kind: 'opened', epoch, writer: `w${epoch}` });
const reserved: Entry = {
  ...{ at: 1, kind: 'reserved', id: 'r', key: '1/1/1/update', digest: 'd', runId: 2n ** 64n - 1n },
  newUnits: ['unit-0000000000000000', 'unit-0000000000000001'],
  units: Int32Array.from([0, 1, 2, 5, 7, 8]),
  events: new Map([['{"mechanism":"gaussian","noise-multiplier":1.5,"relation":"replace-one"}', 3]]),
};
const read = async (stores: Stores, from: Position = BEGINNING): Promise<Page[]> =>
  Array.fromAsync(stores.history.read(from));

export const storesSuite = conformanceSuite<{ stores: Stores; other: Stores }>('Stores of the ledger', (subject) => {
  it('begin empty', async () => {
    const { stores } = subject();
    expect(await read(stores)).toEqual([]);
    expect(await stores.anchor.read()).toBeNull();
    expect(await stores.lease.get()).toBeNull();
  });

  it('give back every entry as it was, chained', async () => {
    const { stores, other } = subject();
    const first = await stores.history.append([opened(1), reserved], 1, BEGINNING);
    const second = await stores.history.append([opened(2)], 2, first);
    expect([first.page, first.entries, second.page, second.entries]).toEqual([1, 2, 2, 3]);
    const pages = await read(other);
    expect(pages.map(({ position, epoch }) => [position, epoch])).toEqual([
      [first, 1],
      [second, 2],
    ]);
    expect(pages.flatMap(({ entries }) => entries.map(({ entry }) => entry))).toEqual([opened(1), reserved, opened(2)]);
    expect(pages.flatMap(({ entries }) => entries.map(({ sequence }) => sequence))).toEqual([1, 2, 3]);
    expect(pages[1]?.entries[0]?.hash).toBe(second.head);
    expect((await read(other, first)).map(({ position }) => position)).toEqual([second]);
  });

  it('let a writer that was overtaken write nothing', async () => {
    const { stores, other } = subject();
    const first = await stores.history.append([opened(1)], 1, BEGINNING);
    await other.history.append([opened(2)], 2, first);
    await expect(stores.history.append([reserved], 1, first)).rejects.toBeInstanceOf(StaleWrite);
    await expect(stores.history.append([reserved], 1, BEGINNING)).rejects.toBeInstanceOf(StaleWrite);
    expect(await read(stores)).toHaveLength(2);
  });

  it('let one of several writers follow a page', async () => {
    const { stores, other } = subject();
    const rivals = Array.from({ length: 6 }, (_, at) =>
      (at % 2 ? stores : other).history.append([opened(at + 1)], at + 1, BEGINNING),
    );
    const settled = await Promise.allSettled(rivals);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await read(stores)).toHaveLength(1);
  });

  it('refuse to read on from a place that is not in this history', async () => {
    const { stores } = subject();
    const first = await stores.history.append([opened(1)], 1, BEGINNING);
    await stores.history.append([opened(2)], 1, first);
    await expect(read(stores, { ...first, head: 'a'.repeat(64) })).rejects.toMatchObject({
      code: 'PRIVACY_LEDGER_DAMAGED',
    });
  });

  it('keep the newest anchor', async () => {
    const { stores, other } = subject();
    const positions = [1, 2, 3].map((page) => ({ page, entries: page, head: page.toString().repeat(64) }));
    for (const position of positions) {
      await stores.anchor.write(position);
      expect(await other.anchor.read()).toEqual(position);
    }
  });

  it('forget every older anchor when another history was accepted', async () => {
    const { stores, other } = subject();
    const positions = [1, 2, 3].map((page) => ({ page, entries: page, head: page.toString().repeat(64) }));
    for (const position of positions) await stores.anchor.write(position);
    const [first = null] = positions;
    await stores.anchor.replace(first);
    expect(await other.anchor.read()).toEqual(first);
    await stores.anchor.replace(null);
    expect(await other.anchor.read()).toBeNull();
  });

  it('keep the newest snapshot, and know whose it is', async () => {
    const { stores, other } = subject();
    expect(await stores.snapshots.read()).toBeNull();
    const before = BEGINNING;
    const book = new Book();
    for (const page of [1, 2]) {
      const entry = opened(page);
      book.apply(entry);
      const position = { page, entries: page, head: page.toString().repeat(64) };
      await stores.snapshots.write({ before, position, book });
      const found = await other.snapshots.read();
      expect(found).toEqual({ before, position, book });
      expect(found !== null && other.snapshots.says(found, book)).toBe(true);
    }
    const found = await stores.snapshots.read();
    expect(found !== null && stores.snapshots.says(found, new Book())).toBe(false);
  });

  it('give the lease to one of several, and renew it', async () => {
    const { stores, other } = subject();
    const terms = { owner: 'a', instance: 'i', epoch: 1 };
    const revision = await stores.lease.take(terms, null);
    expect(await other.lease.get()).toEqual({ terms, revision });
    await expect(other.lease.take({ ...terms, instance: 'j' }, null)).rejects.toBeInstanceOf(StaleWrite);
    const renewed = await stores.lease.take(terms, revision);
    await expect(other.lease.take({ ...terms, epoch: 2 }, revision)).rejects.toBeInstanceOf(StaleWrite);
    expect(await other.lease.take({ ...terms, instance: 'j', epoch: 2 }, renewed)).toBeGreaterThan(renewed);
  });
});
