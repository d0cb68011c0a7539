// Random lists of what callers, processes, the store and the clock may do, against a count kept outside. fast-check shrinks what breaks a rule.
import { AegisError } from '@aegis/errors';
import { FakeClock } from '@aegis/testkit';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readEvents } from '../domain/charges.ts';
import { MemoryPlace } from '../store/memory/index.ts';
import { type Fate, frailStores, Life } from '../testing/frail-stores.ts';
import { Outside } from '../testing/outside.ts';
import { asked, gaussian, policyOf, startWorld, unit } from '../testing/world.ts';
import { setBudget } from './budgets.ts';
import { commit } from './commit.ts';
import { release } from './release.ts';
import { reserve } from './reserve.ts';
import { verify } from './verify.ts';

type Operation =
  | { do: 'reserve'; by: number; key: number; content: number; noise: number; units: number }
  | { do: 'commit'; by: number; which: number; noise: number | null }
  | { do: 'release'; by: number; which: number }
  | { do: 'budget'; by: number; kind: 'dataset' | 'unit'; epsilon: number }
  | { do: 'crash' | 'start' | 'pause' | 'resume'; by: number }
  | { do: 'fate'; by: number; inWrites: number; fate: Fate }
  | { do: 'advance'; ms: number }
  | { do: 'step-wall'; ms: number }
  | { do: 'settle' };

const noise = fc.constantFrom(4, 6, 10, 25);
const by = fc.integer({ min: 0, max: 1 });
const which = fc.integer({ min: 0, max: 5 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('reserve' as const),
      ...{ by, noise, key: which, units: fc.integer({ min: 1, max: 15 }) },
      content: fc.integer({ min: 0, max: 1 }),
    }),
  },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('commit' as const), by, which, noise: fc.option(noise) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), by, which }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('budget' as const),
      by,
      kind: fc.constantFrom('dataset' as const, 'unit' as const),
      epsilon: fc.constantFrom(0.4, 1, 1.5),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('crash' as const, 'start' as const, 'start' as const, 'pause' as const, 'resume' as const),
      by,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fate' as const),
      by,
      inWrites: fc.integer({ min: 1, max: 4 }),
      fate: fc.constantFrom<Fate>('dies-after', 'dies-before', 'answer-lost', 'refused'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(1, 600, 2_000, 9_000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('step-wall' as const), ms: fc.constantFrom(-86_400_000, -1, 3_600_000) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
);

/** Snapshots are among the writes that fail. */
const often = { snapshotEvery: 3 };

/** Turns of the event loop: enough for everything that waits for nothing but other turns. */
const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};
const pass = async (clock: FakeClock, ms: number): Promise<void> => {
  for (let at = 0; at < ms; at += 1_000) {
    await clock.advance(1_000);
    await turns(10);
  }
};

/** Two processes on one place; each of them starts, dies, is paused and is asked things in any order. */
class Stage {
  readonly place = new MemoryPlace();
  readonly clock = new FakeClock();
  readonly outside = new Outside();
  readonly ids: { id: string; units: string[]; noise: number }[] = [];
  readonly surprises: string[] = [];
  private readonly processes: { life: Life; world: Awaited<ReturnType<typeof startWorld>> | null }[] = [0, 1].map(
    () => ({
      life: new Life(),
      world: null,
    }),
  );

  async apply(operation: Operation): Promise<void> {
    switch (operation.do) {
      case 'start':
        return this.start(operation.by);
      case 'crash':
        return this.crash(operation.by);
      case 'pause':
        return this.processes[operation.by]?.life.pause();
      case 'resume':
        return this.processes[operation.by]?.life.resume();
      case 'fate': {
        const life = this.processes[operation.by]?.life as Life;
        life.fates.set(life.writes + operation.inWrites, operation.fate);
        return;
      }
      case 'advance':
        return this.clock.advance(operation.ms);
      case 'step-wall':
        return this.clock.stepWall(operation.ms);
      case 'settle':
        return turns(20);
      default:
        this.ask(operation);
    }
  }

  start(by: number): void {
    const process = this.processes[by];
    if (process === undefined || process.world !== null) return;
    const { life } = process;
    void startWorld(this.place, {
      clock: this.clock,
      stores: frailStores(this.place, life),
      owner: `site-${by}`,
      ...often,
    }).then((world) => {
      if (!life.isDead && process.life === life) process.world = world;
    });
  }

  crash(by: number): void {
    const process = this.processes[by];
    process?.life.die();
    if (process !== undefined) Object.assign(process, { life: new Life(), world: null });
  }

  /** Nobody waits for the answer before the next thing happens. */
  private ask(operation: Operation): void {
    const process = this.processes[operation.do === 'settle' || !('by' in operation) ? 0 : operation.by];
    const { world, life } = process ?? {};
    if (!world || life === undefined) return;
    const told = (tell: () => void): void => {
      // a process that died meanwhile has told nobody
      if (!life.isDead) tell();
    };
    const work = async (): Promise<void> => {
      if (operation.do === 'reserve') {
        const units = [0, 1, 2, 3].filter((bit) => (operation.units >> bit) & 1).map(unit);
        const key = `1/${operation.key}/1/update`;
        const policy = policyOf(BigInt(1 + operation.content), { epsilon: 50 });
        const answer = await reserve(
          world.ground,
          asked(1n, 1, { key, policy, units, events: [gaussian(operation.noise)] }),
        );
        if ('granted' in answer) told(() => this.promise(key, answer.granted.reservation.id, units, operation.noise));
      } else if (operation.do === 'commit') {
        const reservation = this.ids[operation.which % Math.max(1, this.ids.length)];
        if (reservation === undefined) return;
        const events = operation.noise === null ? [] : [gaussian(operation.noise)];
        const answer = await commit(world.ground, {
          id: reservation.id,
          events,
          result: `model ${operation.noise}`,
          inTheClear: [],
        });
        const out = readEvents(events.length === 0 ? [gaussian(reservation.noise)] : events, 'node');
        if ('committed' in answer) told(() => this.outside.leaves(reservation.id, reservation.units, out));
      } else if (operation.do === 'release') {
        const id = this.ids[operation.which % Math.max(1, this.ids.length)]?.id;
        if (id !== undefined) await release(world.ground, { id, proof: 'nothing-sealed', reason: 'test' });
      } else if (operation.do === 'budget') {
        const { kind, epsilon } = operation;
        this.outside.granted(kind, epsilon);
        await setBudget(world.ground, {
          scope: { kind, name: kind === 'dataset' ? 'ward' : '' },
          epsilon,
          delta: null,
          addPartitions: [],
        });
      }
    };
    void work().catch((error: unknown) => {
      if (!(error instanceof AegisError) || error.entry.kind === 'internal') this.surprises.push(String(error));
    });
  }

  private promise(key: string, id: string, units: string[], noiseAsked: number): void {
    const before = this.outside.promised.get(key);
    if (before !== undefined && before !== id) this.surprises.push(`${key} is ${before} and ${id}`);
    if (before === undefined) this.ids.push({ id, units, noise: noiseAsked });
    this.outside.promised.set(key, id);
  }

  /** Everybody dies; one comes back and finds everything that anybody was told. */
  async calm(): Promise<void> {
    for (const by of [0, 1]) this.crash(by);
    await pass(this.clock, 10_000);
    const world = await startWorld(this.place, { clock: this.clock, owner: 'afterwards', ...often });
    // the lease of the dead has to stand still for its time
    await pass(this.clock, 12_000);
    expect(world.ledger.isOpen).toBe(true);
    const found = await world.ledger.read((book) => new Map([...book.byKey].map(([key, id]) => [key, id])));
    for (const [key, id] of this.outside.promised) expect(found.get(key), key).toBe(id);
    expect((await verify(world.ground)).findings).toEqual([]);
    await world.close();
  }
}

async function play(operations: readonly Operation[]): Promise<Stage> {
  const stage = new Stage();
  stage.start(0);
  await turns(20);
  for (const operation of operations) {
    await stage.apply(operation);
    await turns(3);
    expect(stage.outside.violations()).toEqual([]);
  }
  await stage.calm();
  expect(stage.outside.violations()).toEqual([]);
  expect(stage.surprises).toEqual([]);
  return stage;
}

describe('the ledger, whatever happens', () => {
  it('lets out no more than was granted, and forgets nothing that it has said', async () => {
    let left = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 60 }), async (operations) => {
        left += (await play(operations)).outside.count;
      }),
      { numRuns: 300, ...(process.env.LEDGER_SEED !== undefined && { seed: Number(process.env.LEDGER_SEED) }) },
    );
    // the lists do get somewhere
    expect(left).toBeGreaterThan(20);
  });
});

describe('a process that dies at any of its writes', () => {
  const story = async (world: Awaited<ReturnType<typeof startWorld>>, outside: Outside): Promise<void> => {
    const done: Promise<unknown>[] = [];
    const later = (work: Promise<unknown>): void => {
      work.catch(() => {}); // told by Promise.all, if the story gets there
      done.push(work);
    };
    for (const round of [1, 2, 3]) {
      const ask = asked(1n, round, { events: [gaussian(12)] });
      const answer = await reserve(world.ground, ask);
      if ('refused' in answer) continue;
      const { id } = answer.granted.reservation;
      outside.promised.set(ask.key, id);
      if (round === 2) {
        later(release(world.ground, { id, proof: 'nothing-sealed', reason: '' }));
        continue;
      }
      later(
        commit(world.ground, { id, events: [], result: `model ${round}`, inTheClear: [] }).then(
          (told) => 'committed' in told && outside.leaves(id, ask.units, readEvents(ask.events, 'node')),
        ),
      );
    }
    await Promise.all(done);
  };

  it.each(['dies-before', 'dies-after', 'answer-lost', 'refused'] as const)(
    '(%s) is gone on with by the next one',
    async (fate) => {
      let writes = Number.POSITIVE_INFINITY;
      let reached = 0;
      for (let number = 1; number <= writes; number += 1) {
        const place = new MemoryPlace();
        const clock = new FakeClock();
        const outside = new Outside();
        const life = new Life();
        life.fates.set(number, fate);
        const first = startWorld(place, { clock, stores: frailStores(place, life), ...often }).then((world) =>
          story(world, outside),
        );
        first.catch(() => {});
        await turns(80);
        // it needed no more
        if (life.writes < number) writes = number;
        else reached += 1;
        life.die();
        const second = await startWorld(place, { clock, ...often });
        const found = await second.ledger.read((book) => new Map(book.byKey));
        for (const [key, id] of outside.promised) expect(found.get(key)).toBe(id);
        await story(second, outside);
        expect(outside.promised.size).toBe(3);
        expect(outside.count).toBe(2);
        expect(outside.violations()).toEqual([]);
        const verdict = await verify(second.ground);
        expect(verdict.findings).toEqual([]);
        // three runs of a round each, never six
        const counts = await second.ledger.read((book) => ({ ...book.runs.get(1n) }));
        expect([counts.reserved, counts.committed]).toEqual([0, 2]);
      }
      expect(reached).toBeGreaterThan(8);
    },
  );
});
