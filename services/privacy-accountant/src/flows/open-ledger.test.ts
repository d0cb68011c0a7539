import { LedgerService } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { inProcessChannel, Secret, silentLogger } from '@aegis/service-kit';
import { recordingTelemetry } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { ledgerService } from '../api/ledger.ts';
import type { Entry } from '../domain/entry.ts';
import { BEGINNING, type Position } from '../store/contract.ts';
import { MemoryPlace } from '../store/memory/index.ts';
import { readPage, writePage } from '../store/page-text.ts';
import { asked, startWorld, unit } from '../testing/world.ts';
import { commit } from './commit.ts';
import { reserve } from './reserve.ts';
import { spent } from './spent.ts';
import { verify } from './verify.ts';

/** Three rounds: a page for the opening, then one for each reservation and commit. */
async function written(): Promise<MemoryPlace> {
  const place = new MemoryPlace();
  const world = await startWorld(place);
  for (const round of [1, 2, 3]) {
    const answer = await reserve(world.ground, asked(1n, round));
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
