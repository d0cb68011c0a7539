import { describe, expect, it } from 'vitest';
import { Turns } from './turns.ts';

const MiB = 2 ** 20;

describe('turns', () => {
  it('are granted in order, as room is given back, and small messages do not wait', async () => {
    const turns = new Turns(3 * MiB);
    const [first, second] = [turns.take(2 * MiB), turns.take(MiB)];
    expect([first.add(0), second.add(0)]).toEqual([undefined, undefined]);
    const third = turns.take(2 * MiB);
    const fourth = turns.take(MiB);
    expect([third.add(0), fourth.add(0)].every((wait) => wait !== undefined)).toBe(true);
    expect(turns.take(1_000).add(0)).toBeUndefined();
    second.release();
    expect(turns.waiting).toBe(2);
    first.release();
    await Promise.all([third.add(0), fourth.add(0)]);
    expect(turns.waiting).toBe(0);
  });

  it('are given to a message larger than all the room, when nobody else has any', async () => {
    const turns = new Turns(MiB);
    const other = turns.take(MiB);
    const large = turns.take(10 * MiB);
    other.release();
    await large.add(0);
    const next = turns.take(MiB);
    large.release();
    await next.add(0);
  });

  it('may be given up by who waits, and given back twice without harm', async () => {
    const turns = new Turns(MiB);
    const first = turns.take(MiB);
    const gone = turns.take(MiB);
    const third = turns.take(MiB);
    gone.release();
    gone.release();
    first.release();
    first.release();
    await third.add(0);
    expect(turns.take(MiB).add(0)).toBeDefined();
  });
});
