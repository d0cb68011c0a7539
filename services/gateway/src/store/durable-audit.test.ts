import { BusConflict, type Journal } from '@aegis/bus';
import { Secret } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import type { AuditEntry } from '../domain/audit.ts';
import { DurableAuditStore } from './durable-audit.ts';

const key = new Secret('5a'.repeat(32));
const entry = (subject: string): AuditEntry => ({
  ...{ event: 'node-removed', at: 1_700_000_000_000, by: 'g1', actor: 'operator', subject, detail: '', trace: '' },
});

/** What NATS would hold, for whoever has it in hands. */
class Place {
  records: Buffer[] = [];
  readonly journal: Journal = {
    append: async (record, after) => {
      await Promise.resolve();
      if (after !== this.records.length) throw new BusConflict('audit', String(after));
      return this.records.push(Buffer.from(record));
    },
    read: (after) => this.from(after),
    newest: async () => {
      const content = this.records.at(-1);
      return content === undefined ? null : { sequence: this.records.length, content };
    },
  };

  async *from(after: number) {
    for (const [at, content] of this.records.entries()) if (at >= after) yield { sequence: at + 1, content };
  }

  open(with_ = key): Promise<DurableAuditStore> {
    return DurableAuditStore.open({ journal: async () => this.journal }, with_);
  }
}
const subjects = async (store: DurableAuditStore, after = 0): Promise<string[]> =>
  (await Array.fromAsync(store.read(after))).map(({ subject }) => subject);

describe('the audit log', () => {
  it('is one chain, whichever gateway writes, and whoever opens it reads all of it', async () => {
    const place = new Place();
    const [one, other] = [await place.open(), await place.open()];
    await one.append([entry('a'), entry('b')]);
    await other.append([entry('c')]);
    await one.append([entry('d')]);
    const kept = await Array.fromAsync((await place.open()).read(0));
    expect(kept.map(({ sequence, subject }) => `${sequence} ${subject}`)).toEqual(['1 a', '2 b', '3 c', '4 d']);
    expect(new Set(kept.map(({ hash }) => hash)).size).toBe(4);
    expect(await subjects(other, 2)).toEqual(['c', 'd']);
    expect(kept[0]).toMatchObject(entry('a'));
  });

  it('has every entry once when gateways write at the same moment', async () => {
    const place = new Place();
    const gateways = await Promise.all([place.open(), place.open(), place.open()]);
    const wanted = Array.from({ length: 30 }, (_, at) => `s${at}`);
    await Promise.all(
      gateways.map(async (gateway, at) => {
        for (const subject of wanted.filter((_, which) => which % 3 === at)) await gateway.append([entry(subject)]);
      }),
    );
    const found = await subjects(await place.open());
    expect([...found].sort()).toEqual([...wanted].sort());
  });

  it.each<[string, (place: Place) => void]>([
    ['a page that was changed', (place) => void place.records.splice(0, 1, swap(place.records[0], 'a', 'z'))],
    ['a page that was taken out of the middle', (place) => void place.records.splice(1, 1)],
    ['a page of another place', (place) => void place.records.splice(1, 1, place.records[2] as Buffer)],
    ['a page that is no text', (place) => void place.records.splice(1, 1, Buffer.from([0xff, 0xfe]))],
    ['an empty page', (place) => void place.records.splice(1, 1, Buffer.alloc(0))],
  ])('shows %s', async (_name, harm) => {
    const place = new Place();
    const store = await place.open();
    for (const subject of ['a', 'b', 'c']) await store.append([entry(subject)]);
    harm(place);
    await expect(subjects(await place.open())).rejects.toMatchObject({ code: 'AUDIT_DAMAGED' });
  });

  it('is neither read nor written with another key', async () => {
    const place = new Place();
    await (await place.open()).append([entry('a')]);
    const stranger = await place.open(new Secret('00'.repeat(32)));
    await expect(subjects(stranger)).rejects.toMatchObject({ code: 'AUDIT_DAMAGED' });
    await expect(stranger.append([entry('b')])).rejects.toMatchObject({ code: 'AUDIT_DAMAGED' });
    expect(place.records).toHaveLength(1);
  });
});

const swap = (page: Buffer | undefined, from: string, to: string): Buffer =>
  Buffer.from(String(page).replace(`"subject":"${from}"`, `"subject":"${to}"`));
