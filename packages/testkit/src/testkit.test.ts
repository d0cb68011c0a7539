import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { conformanceSuite } from './conformance.ts';
import { eventually } from './eventually.ts';
import { FakeClock } from './fake-clock.ts';
import { freePort } from './free-port.ts';
import { seededRandom } from './seeded-random.ts';

describe('FakeClock', () => {
  it('runs timers in the order of their time, each seeing its own time', async () => {
    const clock = new FakeClock(1_000);
    const seen: [string, number][] = [];
    clock.schedule(30, () => seen.push(['c', clock.now()]));
    clock.schedule(10, () => seen.push(['a', clock.now()]));
    clock.schedule(10, () => seen.push(['b', clock.now()]));
    await clock.advance(29);
    expect(seen).toEqual([
      ['a', 1_010],
      ['b', 1_010],
    ]);
    await clock.advance(1);
    expect(seen.at(-1)).toEqual(['c', 1_030]);
    expect([clock.now(), clock.pending]).toEqual([1_030, 0]);
  });

  it('lets promises settle between timers, so that a loop of sleeps runs through', async () => {
    const clock = new FakeClock(0);
    const woke: number[] = [];
    const loop = (async () => {
      for (let i = 0; i < 5; i += 1) {
        await clock.sleep(10);
        await Promise.resolve();
        woke.push(clock.now());
      }
    })();
    await clock.advance(50);
    await loop;
    expect(woke).toEqual([10, 20, 30, 40, 50]);
  });

  it('cancels timers and aborts sleeps', async () => {
    const clock = new FakeClock();
    clock.schedule(1, () => expect.unreachable()).cancel();
    const abort = new AbortController();
    const asleep = clock.sleep(10, abort.signal);
    abort.abort(new Error('woken'));
    await expect(asleep).rejects.toThrow('woken');
    await clock.advance(100);
    expect(clock.pending).toBe(0);
  });
});

describe('seededRandom', () => {
  it('gives the same sequence for the same seed, another for another', () => {
    const draw = (seed: number) => {
      const random = seededRandom(seed);
      return [random.uint64(), random.ulid(5), random.shuffle([1, 2, 3, 4, 5]), random.bytes(40).toString('hex')];
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });
});

describe('eventually', () => {
  it('returns the first value that is not false', async () => {
    const answers = [false, 'yes'];
    expect(await eventually(() => answers.shift() ?? false)).toBe('yes');
  });

  it('gives up with the last failure', async () => {
    await expect(eventually(() => expect(1).toBe(2), 20)).rejects.toThrow('expected 1 to be 2');
  });
});

describe('freePort', () => {
  it('gives each port once, none that a kernel gives out by itself, and all can be listened on', async () => {
    const ports = await Promise.all(Array.from({ length: 20 }, () => freePort()));
    expect(new Set(ports).size).toBe(20);
    expect(ports.filter((port) => port >= 32_768)).toEqual([]);
    for (const port of ports) {
      const server = createServer().listen(port, '127.0.0.1');
      await once(server, 'listening');
      server.close();
    }
  });
});

const listSuite = conformanceSuite<{ items: number[] }>('list', (list) => {
  it('starts empty in each test', () => {
    list().items.push(1);
    expect(list().items).toEqual([1]);
  });

  it('starts empty in the next test too', () => {
    expect(list().items).toEqual([]);
  });
});
listSuite('array', async () => ({ subject: { items: [] } }));
