import { generate } from './generate.ts';
import { printList } from './operations.ts';
import { type Outcome, runList } from './run.ts';
import { shrink } from './shrink.ts';
import type { World } from './world.ts';

/** Runs the lists of `count` seeds; throws with a minimal list at the first that breaks a rule. */
export async function hunt(firstSeed: number, count: number, prepare?: (world: World) => void): Promise<Tally> {
  // thousands of errors are part of the game, and nobody reads where they were thrown
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const tally: Tally = { lists: 0, operations: 0, takeovers: 0, ends: new Map() };
  for (let seed = firstSeed; seed < firstSeed + count; seed += 1) {
    const list = generate(seed);
    const outcome = await runList(list, prepare);
    tally.lists += 1;
    tally.operations += list.operations.length;
    tally.takeovers += outcome.takeovers;
    const end = outcome.end ?? 'no run';
    tally.ends.set(end, (tally.ends.get(end) ?? 0) + 1);
    if (outcome.violation !== null) {
      Error.stackTraceLimit = stackTraceLimit;
      throw new RuleBroken(await explain(seed, outcome, prepare));
    }
  }
  Error.stackTraceLimit = stackTraceLimit;
  return tally;
}

export interface Tally {
  lists: number;
  operations: number;
  takeovers: number;
  /** How their runs ended. */
  readonly ends: Map<string, number>;
}

export class RuleBroken extends Error {}

async function explain(seed: number, found: Outcome, prepare?: (world: World) => void): Promise<string> {
  const { list, outcome } = await shrink(generate(seed), found, prepare);
  const { violation, lines } = outcome;
  return [
    `seed ${seed}: ${violation?.invariant}: ${violation?.what}`,
    printList({ ...list, name: violation?.invariant ?? '' }),
    ...lines.slice(-60).map((line) => `  ${line}`),
  ].join('\n');
}
