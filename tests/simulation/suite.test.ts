// Proof that the suite can fail: worlds that are broken on purpose must be found out, and by a short list.
import { describe, expect, it } from 'vitest';
import { generate } from './generate.ts';
import { hunt, RuleBroken } from './hunt.ts';
import { type List, printList } from './operations.ts';
import { runList } from './run.ts';
import type { Invariant } from './witness.ts';
import type { World } from './world.ts';

/** What the suite says of a world in which something is broken. */
const found = async (breakIt: (world: World) => void): Promise<string> => {
  const caught: unknown = await hunt(1, 600, breakIt).then(
    () => new Error('600 lists found nothing'),
    (error: unknown) => error,
  );
  if (!(caught instanceof RuleBroken)) throw caught;
  return caught.message;
};

const mutants: readonly (readonly [string, (world: World) => void, readonly Invariant[]])[] = [
  [
    'a disk that forgets acknowledged records with the process that wrote them',
    ({ disk }) => {
      disk.flushes = false;
    },
    ['no acknowledged update lost', 'a verdict stands', 'no answered task again'],
  ],
  [
    'a bus that does not compare before it sets',
    ({ nats }) => {
      nats.compares = false;
    },
    ['no write by an old owner', 'rounds go forward', 'no acknowledged update lost'],
  ],
  [
    'an intake that does not look into the tensors',
    ({ disk }) => {
      disk.checks = false;
    },
    ['bad updates are refused'],
  ],
  [
    'an intake that adds an update twice',
    ({ disk }) => {
      disk.foldsTwice = true;
    },
    ['the model is the mean'],
  ],
  [
    'a store that draws noise again after a crash',
    ({ disk }) => {
      disk.seals = false;
    },
    ['noise is drawn once', 'what leaves was paid for'],
  ],
  [
    'a gateway that forgets that a task was answered',
    (world) => {
      world.gatewaysForget = true;
    },
    // the first rule that it breaks: what it has forgotten to be answered it also keeps
    ['no answered task again', 'nothing left behind'],
  ],
];

describe('the simulation', () => {
  it.each(mutants)('finds %s', { timeout: 300_000 }, async (_what, breakIt, rules) => {
    const message = await found(breakIt);
    expect(rules.some((rule) => message.includes(rule))).toBe(true);
  });

  it('does the same for the same list, to the last write', async () => {
    for (const seed of [3, 14, 15]) {
      const [one, other] = [await runList(generate(seed)), await runList(generate(seed))];
      expect(one.lines.length).toBeGreaterThan(20);
      expect(other.trace).toBe(one.trace);
    }
    expect((await runList(generate(4))).trace).not.toBe((await runList(generate(5))).trace);
  });

  it('makes a failing list small, and prints it so that it fails again', { timeout: 300_000 }, async () => {
    const forgetful = ({ disk }: World): void => {
      disk.flushes = false;
    };
    const message = await found(forgetful);
    const source = /export const list: List = ([\s\S]*?\n});/.exec(message)?.[1] ?? '';
    const list = new Function(`return ${source}`)() as List;
    expect(list.operations.length).toBeLessThan(12);
    expect((await runList(list, forgetful)).violation?.invariant).toBe(list.name);
    expect((await runList(list)).violation).toBeNull();
    expect(printList(list)).toContain(source.split('\n')[1]);
  });
});
