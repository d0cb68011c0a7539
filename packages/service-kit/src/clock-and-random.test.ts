import { describe, expect, it, vi } from 'vitest';
import { systemClock } from './clock.ts';
import { randomFrom, systemRandom } from './random.ts';

describe('systemClock', () => {
  it('follows the clock of the machine when that is set, and measures durations by another', () => {
    const [begun, told] = [systemClock.monotonic(), vi.spyOn(Date, 'now')];
    for (const time of [1_700_000_000_000, 1_700_000_600_000, 1_699_999_000_000]) {
      told.mockReturnValueOnce(time);
      expect(systemClock.now()).toBe(time);
    }
    told.mockRestore();
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(begun);
  });

  it('stops sleeping when the signal aborts, before or during', async () => {
    const reason = new Error('woken');
    await expect(systemClock.sleep(3_600_000, AbortSignal.abort(reason))).rejects.toBe(reason);
    const abort = new AbortController();
    const asleep = systemClock.sleep(3_600_000, abort.signal);
    abort.abort(reason);
    await expect(asleep).rejects.toBe(reason);
  });

  it('runs what is scheduled, unless cancelled', async () => {
    const ran: string[] = [];
    systemClock.schedule(0, () => ran.push('cancelled')).cancel();
    await new Promise<void>((resolve) => systemClock.schedule(1, resolve));
    await systemClock.sleep(1);
    expect(ran).toEqual([]);
  });

  it('does not take a month for now', async () => {
    let early = false;
    const timer = systemClock.schedule(2 ** 32, () => {
      early = true;
    });
    await systemClock.sleep(5);
    timer.cancel();
    expect(early).toBe(false);
  });
});

describe('random', () => {
  it('makes ULIDs that sort by time and by call, also when the clock steps back', () => {
    const times = [1_700_000_000_000, 1_700_000_000_000, 1_700_000_000_001, 1_699_999_999_000, 1_700_000_000_002];
    const ids = times.map((time) => systemRandom.ulid(time));
    expect(ids).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.every((id) => /^[0-9A-HJKMNP-TV-Z]{26}$/.test(id))).toBe(true);
  });

  it('encodes the time of a ULID as the specification does', () => {
    const random = randomFrom(
      (n) => Buffer.alloc(n),
      () => 0,
    );
    expect(random.ulid(1_469_918_176_385)).toBe('01ARYZ6S410000000000000000');
  });

  it('draws 64-bit numbers from the full range, never 0', () => {
    const draws = [Buffer.alloc(8), Buffer.alloc(8, 0xff)];
    const random = randomFrom(
      () => draws.shift() ?? Buffer.alloc(8, 1),
      () => 0,
    );
    expect(random.uint64()).toBe(2n ** 64n - 1n);
  });

  it('shuffles every element into every place about equally often, and leaves the list alone', () => {
    const list = [0, 1, 2, 3];
    const counts = list.map(() => list.map(() => 0));
    const rounds = 4_000;
    for (let i = 0; i < rounds; i += 1) {
      systemRandom.shuffle(list).forEach((value, place) => {
        const row = counts[value];
        if (row !== undefined) row[place] = (row[place] ?? 0) + 1;
      });
    }
    // 1000 expected; 8 standard deviations either way.
    for (const count of counts.flat()) expect(Math.abs(count - rounds / 4)).toBeLessThan(220);
    expect(list).toEqual([0, 1, 2, 3]);
  });
});
