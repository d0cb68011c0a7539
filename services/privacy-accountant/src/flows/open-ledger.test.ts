import { LedgerService } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { inProcessChannel, Secret, silentLogger } from '@aegis/service-kit';
import { recordingTelemetry } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { ledgerService } from '../api/ledger.ts';
import type { Entry } from '../domain/entry.ts';
import { BEGINNING, type Position } from '../store/contract.ts';
import { MemoryPlace, memoryStores } from '../store/memory/index.ts';
import { readPage, writePage } from '../store/page-text.ts';
import { asked, gaussian, startWorld, unit } from '../testing/world.ts';
import { commit } from './commit.ts';
import { reserve } from './reserve.ts';
import { spent } from './spent.ts';
import { verify } from './verify.ts';

/** Three rounds: a page for the opening, then one for each reservation and commit. */
async function written(terms: { snapshotEvery?: number } = {}, rounds = [1, 2, 3]): Promise<MemoryPlace> {
  const noise = rounds.length > 3 ? 40 : 10;
  const place = new MemoryPlace();
  const world = await startWorld(place, terms);
  for (const round of rounds) {
    const answer = await reserve(world.ground, asked(1n, round, { events: [gaussian(noise)] }));
    if ('refused' in answer) throw new Error(answer.refused.detail);
    await commit(world.ground, {
      id: answer.granted.reservation.id,
      events: [],
      result: `model ${round}`,
      inTheClear: [],
    });
  }
  await world.close();
  return place;
}

/** Opens it, and shows that nothing is granted and why. */
async function refusalOf(place: MemoryPlace): Promise<string> {
  const world = await startWorld(place);
  expect(world.ledger.isOpen).toBe(false);
  await expect(reserve(world.ground, asked(2n, 1))).rejects.toMatchObject({ code: 'PRIVACY_LEDGER_DAMAGED' });
  await expect(spent(world.ground, [])).rejects.toMatchObject({ code: 'PRIVACY_LEDGER_DAMAGED' });
  const { sound, findings } = await verify(world.ground);
  expect(sound).toBe(false);
  return findings[0] ?? '';
}

const forgedEvent =
  '{"mechanism":"gaussian","noise-multiplier":0.1,"relation":"add-or-remove-one","sampling":{"kind":"none"},"unit":"node"}';

/** Writes every page anew with this key, as somebody would who changes one entry and then tries to make everything fit again. */
function rewrite(place: MemoryPlace, key: Secret, change: (entry: Entry) => Entry): void {
  let from: Position = BEGINNING;
  let to: Position = BEGINNING;
  place.records = place.records.map((record) => {
    const page = readPage(record, from, place.key);
    from = page.position;
    const next = writePage(
      page.entries.map(({ entry }) => change(entry)),
      page.epoch,
      to,
      key,
    );
    to = next.position;
    return next.page;
  });
}

describe('a history that somebody changed', () => {
  it('is sound while nobody did', async () => {
    const world = await startWorld(await written());
    expect(await verify(world.ground)).toMatchObject({ sound: true, findings: [] });
  });

  it.each<[string, (place: MemoryPlace) => void, string]>([
    [
      'a flipped bit',
      ({ records }) => void records[2]?.write('!', records[2].length - 9),
      'The entries of page 3 are not those it was written with',
    ],
    ['a page taken out', ({ records }) => void records.splice(2, 1), 'does not follow the page before it'],
    [
      'two pages swapped',
      ({ records }) => void records.splice(2, 2, records[3] as Buffer, records[2] as Buffer),
      'does not follow',
    ],
    ['a page twice', ({ records }) => void records.splice(3, 0, records[2] as Buffer), 'does not follow'],
    ['the end cut off', ({ records }) => void records.splice(4), 'put back to an older state'],
    ['everything gone', ({ records }) => void records.splice(0), 'put back to an older state'],
    ['the anchor gone', (place) => void Object.assign(place, { anchored: null }), 'The anchor of a history of'],
    [
      'all pages written anew with another key',
      (place) => rewrite(place, new Secret('f'.repeat(64)), (entry) => entry),
      'Page 1 was not written with this key',
    ],
    [
      'a charge made smaller and everything written anew with the right key',
      (place) =>
        rewrite(place, place.key, (entry) =>
          entry.kind === 'reserved'
            ? { ...entry, events: new Map([...entry.events].map(([event]) => [event.replace(':10', ':9999'), 1])) }
            : entry,
        ),
      'is not the one that the anchor vouches for',
    ],
  ])('(%s) grants nothing and says so', async (_what, damage, reason) => {
    const place = await written();
    damage(place);
    expect(await refusalOf(place)).toContain(reason);
  });

  it('is found out by its own arithmetic where keys and anchor fit: a charge that no budget covered', async () => {
    const place = await written();
    const last = place.anchored as Position;
    const forged: Entry = {
      ...{ at: 1, kind: 'reserved', id: 'forged', key: '1/9/1/update', digest: 'd', runId: 1n, newUnits: [] },
      units: Int32Array.from([0]),
      events: new Map([[forgedEvent, 1]]),
    };
    const { page, position } = writePage([forged], 9, last, place.key);
    place.records.push(page);
    place.anchored = position;
    const world = await startWorld(place);
    expect((await verify(world.ground)).findings[0]).toMatch(/Entry \d+: what it charges was not covered/);
  });

  it('is gone on with when the operator accepts its head, once', async () => {
    const place = await written();
    const older = place.records.slice(0, 4);
    place.records = [...older];
    const { head } = await verify((await startWorld(place)).ground);
    expect((await startWorld(place, { acceptHead: 'a'.repeat(64) })).ledger.isOpen).toBe(false);
    const accepting = await startWorld(place, { acceptHead: head });
    expect(accepting.ledger.isOpen).toBe(true);
    await reserve(accepting.ground, asked(1n, 7));
    await accepting.close();
    // another way back needs another word
    place.records = [...older];
    expect((await startWorld(place, { acceptHead: head })).ledger.isOpen).toBe(true);
    expect((await startWorld(place)).ledger.isOpen).toBe(true);
  });
});

describe('a snapshot', () => {
  const snapshotEvery = 5;
  const rounds = Array.from({ length: 20 }, (_, at) => at + 1);
  /** Pages read while it opens, what it then says of everybody, and whether everything read anew says the same. */
  const opened = async (place: MemoryPlace): Promise<[number, string]> => {
    const stores = memoryStores(place);
    let pages = 0;
    const { history } = stores;
    const read = async function* (from: Position) {
      for await (const page of history.read(from)) {
        pages += 1;
        yield page;
      }
    };
    const world = await startWorld(place, { stores: { ...stores, history: { ...history, read } } });
    expect(world.ledger.isOpen).toBe(true);
    const took = pages;
    const balances = JSON.stringify(
      await spent(
        world.ground,
        [1, 2, 3].map((number) => ({ kind: 'unit' as const, name: unit(number) })),
      ),
    );
    expect(await verify({ ...world.ground, stores: { ...stores, snapshots: noSnapshots } })).toMatchObject({
      sound: true,
    });
    await world.close();
    return [took, balances];
  };
  const noSnapshots = { ...memoryStores().snapshots, read: async () => null };

  it('spares reading what is before it', async () => {
    const place = await written({ snapshotEvery }, rounds);
    expect((await verify((await startWorld(place)).ground)).findings).toEqual([]);
    const [some, balances] = await opened(place);
    expect(some).toBeLessThan(snapshotEvery + 3);
    place.snapshot = null;
    const [all, same] = await opened(place);
    expect(all).toBeGreaterThan(40);
    expect(same).toBe(balances);
  });

  it('of an older time is gone on from', async () => {
    const place = await written({ snapshotEvery }, rounds.slice(0, 10));
    const { snapshot } = place;
    const world = await startWorld(place, { snapshotEvery });
    for (const round of rounds.slice(10)) await reserve(world.ground, asked(1n, round, { events: [gaussian(40)] }));
    await world.close();
    expect(place.snapshot).not.toEqual(snapshot);
    const [few, balances] = await opened(place);
    place.snapshot = snapshot;
    const [more, same] = await opened(place);
    expect([few < 8, more > 10 && more < 20]).toEqual([true, true]);
    expect(same).toBe(balances);
  });

  it.each<[string, (place: MemoryPlace, foreign: MemoryPlace) => void]>([
    ['that somebody changed', ({ snapshot }) => void snapshot?.fill(7, 40, 41)],
    ['of another history', (place, { snapshot }) => void Object.assign(place, { snapshot })],
    ['of more than there is', (place, { snapshot }) => void Object.assign(place, { snapshot })],
  ])('%s is not used', async (what, change) => {
    const place = await written({ snapshotEvery }, rounds);
    const [, balances] = await opened(place);
    const other = what.endsWith('history') ? rounds.map((round) => round + 100) : [...rounds, 21, 22, 23, 24, 25, 26];
    change(place, await written({ snapshotEvery }, other));
    const [pages, same] = await opened(place);
    expect(pages).toBeGreaterThan(40);
    expect(same).toBe(balances);
  });

  it('with other balances, by somebody who has the key, is found out when all is read', async () => {
    const place = await written({ snapshotEvery }, rounds);
    const stores = memoryStores(place);
    const snapshot = await stores.snapshots.read();
    if (snapshot === null) throw new Error('no snapshot');
    snapshot.book.units.fill(undefined);
    await stores.snapshots.write(snapshot);
    const { sound, findings } = await verify((await startWorld(place)).ground);
    expect([sound, findings]).toEqual([false, [expect.stringContaining('does not say what the entries add up to')]]);
  });
});

describe('the trace of a round', () => {
  it('has reserve, commit and release as spans, with what is left', async () => {
    const recording = recordingTelemetry();
    const world = await startWorld(new MemoryPlace(), { telemetry: recording.telemetry });
    const channel = inProcessChannel([ledgerService(world.ground)], {
      log: silentLogger,
      telemetry: recording.telemetry,
    });
    const ledger = channel.client(LedgerService);
    await recording.telemetry.inSpan('round', {}, async () => {
      const { key, policy, units, events } = asked(1n, 1);
      const { outcome } = await ledger.reserve({
        key,
        policy: { ...policy, schedule: [] },
        units: [...units],
        events: [...events],
      });
      const reservationId = outcome?.$case === 'granted' ? outcome.value.reservationId : '';
      await ledger.commit({ reservationId, events: [], resultDigest: 'm', inTheClear: [] });
    });
    const said = JSON.stringify(recording.trees());
    for (const name of ['reserve', 'commit', 'aegis.privacy.v1.Ledger/Reserve']) expect(said).toContain(name);
    expect(said).not.toContain(unit(1));
    await channel.close();
  });
});
