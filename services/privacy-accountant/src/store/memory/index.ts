import { BusConflict, type Journal } from '@aegis/bus';
import { Secret } from '@aegis/service-kit';
import type { Anchor, LeaseTerms, Position, Snapshots, Stores, WriterLease } from '../contract.ts';
import { StaleWrite } from '../contract.ts';
import { journalHistory } from '../journal-history.ts';
import { openSnapshot, saysTheSame, sealSnapshot } from '../snapshot-text.ts';

/** What several processes would share: pages, lease and anchor. Tests damage it, put it back, and look into it. */
export class MemoryPlace {
  records: Buffer[] = [];
  lease: { terms: LeaseTerms; revision: number } | null = null;
  anchored: Position | null = null;
  /** Sealed. */
  snapshot: Uint8Array | null = null;
  readonly key = new Secret('0'.repeat(64));

  readonly journal: Journal = {
    append: async (record, after) => {
      if (after !== this.records.length) throw new BusConflict('memory', String(after));
      this.records.push(Buffer.from(record));
      return this.records.length;
    },
    read: (after) => this.readFrom(after),
    newest: async () => {
      const content = this.records.at(-1);
      return content === undefined ? null : { sequence: this.records.length, content };
    },
  };

  private async *readFrom(after: number) {
    for (let at = after; at < this.records.length; at += 1)
      yield { sequence: at + 1, content: this.records[at] as Buffer };
  }
}

/** For tests. */
export const memoryStores = (place = new MemoryPlace()): Stores => ({
  history: journalHistory(place.journal, place.key),
  lease: memoryLease(place),
  anchor: memoryAnchor(place),
  snapshots: memorySnapshots(place),
  close: async () => {},
});

const memoryLease = (place: MemoryPlace): WriterLease => ({
  get: async () => place.lease,
  take: async (terms, revision) => {
    if ((place.lease?.revision ?? null) !== revision) throw new StaleWrite('the lease');
    const next = (revision ?? 0) + 1;
    place.lease = { terms, revision: next };
    return next;
  },
});

const memoryAnchor = (place: MemoryPlace): Anchor => ({
  read: async () => place.anchored,
  write: async (position) => {
    place.anchored = position;
  },
  replace: async (position) => {
    place.anchored = position;
  },
});

const memorySnapshots = (place: MemoryPlace): Snapshots => ({
  read: async () => (place.snapshot === null ? null : openSnapshot(place.snapshot, place.key)),
  write: async (snapshot) => {
    place.snapshot = sealSnapshot(snapshot, place.key);
  },
  says: saysTheSame,
});
