import { createHash } from 'node:crypto';
import { apply } from './apply.ts';
import { calm } from './calm.ts';
import type { List } from './operations.ts';
import type { Violation } from './witness.ts';
import { World } from './world.ts';

/** One world of so many is also watched until everybody has left it. */
const EMPTIED_EVERY = 4;

export interface Outcome {
  readonly violation: Violation | null;
  /** At which operation; the list's length: after the last one. */
  readonly at: number;
  /** Hash of everything that was seen: the same for the same list. */
  readonly trace: string;
  readonly lines: readonly string[];
  /** How the run ended; null: there was none. */
  readonly end: string | null;
  /** How often a run passed from one process to another. */
  readonly takeovers: number;
}

/** `prepare` breaks the world on purpose: for tests of this suite itself. */
export async function runList(list: List, prepare: (world: World) => void = () => {}): Promise<Outcome> {
  const world = new World(list.shape, list.seed);
  prepare(world);
  const { witness } = world;
  const outcome = (at: number): Outcome => ({
    violation: witness.violations[0] ?? null,
    at,
    trace: createHash('sha256').update(witness.trace.join('\n')).digest('hex'),
    lines: witness.trace,
    end: [...witness.runs.values()].at(-1)?.outcome ?? null,
    takeovers: witness.takeovers,
  });
  try {
    return outcome(await tell(world, list));
  } finally {
    await world.close();
  }
}

/** Returns the operation at which a rule was broken, or how many there are. */
async function tell(world: World, list: List): Promise<number> {
  const { witness } = world;
  await world.open();
  for (const [at, operation] of list.operations.entries()) {
    witness.trace.push(`— ${operation.do}`);
    await apply(world, operation);
    await world.settle();
    if (witness.violations.length > 0) return at;
  }
  await calm(world, list.seed % EMPTIED_EVERY === 0);
  return list.operations.length;
}
