// Tries a door with more and more inputs made from those that taught something, and judges each of them.
import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { Coverage } from './coverage.ts';
import { mutate } from './mutate.ts';
import { Chance } from './random.ts';
import type { Door, Question, Taken, Target } from './target.ts';

export interface Find {
  readonly what: string;
  readonly input: Buffer;
}

export interface Effort {
  readonly seed: number;
  /** Ends with whichever comes first. */
  readonly inputs: number;
  readonly seconds: number;
  /** Of inputs that were taken, how many questions to the peer at most. */
  readonly questions: number;
  /** Whether V8 is asked what was reached. */
  readonly guided: boolean;
}

export interface Outcome {
  inputs: number;
  taken: number;
  refused: number;
  /** Distinct ways of taking and refusing. */
  ways: number;
  /** Inputs kept because they reached something new. */
  kept: number;
  asked: number;
  /** Most milliseconds of processor time that one input took, and MiB of resident memory above the beginning. */
  slowestMs: number;
  grownMib: number;
  readonly codes: Map<string, number>;
  readonly finds: Find[];
}

/** Answers in order, null for what the peer takes as well, its words for what it refuses. */
export interface Peer {
  ask(questions: readonly Question[]): Promise<(string | null)[]>;
}

const BATCH = 256;
const MOST_KEPT = 4_096;
const MOST_FINDS = 20;
const MOST_MS = 1_000;
/** The heap of a target's process may have 256: what leaks ends it. The rest is memory that V8 has not given back yet. */
const MOST_MIB = 600;
const HONEST_EVERY = 20;

export async function tryDoor(
  target: Target,
  corpus: readonly Buffer[],
  effort: Effort,
  hooks: { readonly peer: Peer | null; readonly beforeBatch?: (inputs: readonly Buffer[]) => void },
): Promise<Outcome> {
  const outcome: Outcome = {
    ...{ inputs: 0, taken: 0, refused: 0, ways: 0, kept: 0, asked: 0, slowestMs: 0, grownMib: 0 },
    ...{ codes: new Map(), finds: [] },
  };
  const chance = new Chance(effort.seed);
  const seeds = [...(await target.seeds()), ...corpus];
  const kept = [...seeds];
  const ways = new Set<string>();
  const words = (target.words ?? []).map((word) => Buffer.from(word, 'latin1'));
  const door = await target.open();
  const coverage = effort.guided ? await Coverage.start() : null;
  const until = performance.now() + effort.seconds * 1_000;
  const questions: { input: Buffer; question: Question }[] = [];
  let memory = Number.POSITIVE_INFINITY;

  const keep = (input: Buffer): void => {
    outcome.kept += 1;
    if (kept.length < MOST_KEPT) kept.push(input);
    else kept[seeds.length + chance.below(kept.length - seeds.length)] = input;
  };
  const judge = async (input: Buffer): Promise<void> => {
    const before = process.cpuUsage();
    const { way, find, question } = await tryOnce(door, input);
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1_000;
    outcome.inputs += 1;
    outcome.slowestMs = Math.max(outcome.slowestMs, ms);
    if (way.startsWith('+')) outcome.taken += 1;
    else outcome.refused += 1;
    const code = way.split(' ', 1)[0] ?? '';
    outcome.codes.set(code, (outcome.codes.get(code) ?? 0) + 1);
    if (find !== null) outcome.finds.push({ what: find, input });
    else if (ms > MOST_MS) outcome.finds.push({ what: `it took ${ms.toFixed(0)} ms of processor time`, input });
    if (question && outcome.asked + questions.length < effort.questions) questions.push({ input, question });
    if (ways.has(way) || ways.size > MOST_KEPT) return;
    ways.add(way);
    keep(input);
  };
  const ask = async (): Promise<void> => {
    if (hooks.peer === null || questions.length === 0) return;
    const asked = questions.splice(0);
    outcome.asked += asked.length;
    const answers = await hooks.peer.ask(asked.map(({ question }) => question));
    for (const [index, refusal] of answers.entries()) {
      const { input = Buffer.alloc(0), question } = asked[index] ?? {};
      if (refusal !== null)
        outcome.finds.push({ what: `taken here, refused by the peer (${question?.kind}): ${refusal}`, input });
    }
  };

  try {
    for (const input of seeds) await judge(input);
    await ask();
    for (let batch = 0; outcome.inputs < effort.inputs && performance.now() < until; batch += 1) {
      const inputs = Array.from({ length: Math.min(BATCH, effort.inputs - outcome.inputs) }, () => {
        const material = { form: target.form, words, other: chance.oneOf(kept), keep: target.keep ?? 0 };
        return mutate(chance, chance.oneOf(kept), material);
      });
      hooks.beforeBatch?.(inputs);
      for (const input of inputs) await judge(input);
      await ask();
      // What a batch reached for the first time, one of its inputs did: a few of them are tried further.
      if (coverage !== null && (await coverage.isNew())) for (let i = 0; i < 4; i += 1) keep(chance.oneOf(inputs));
      if (batch % HONEST_EVERY === 0) await door.honest?.();
      const mib = process.memoryUsage.rss() / 2 ** 20;
      // The first batches fill caches and pools.
      memory = batch < 50 ? mib : Math.min(memory, mib);
      outcome.grownMib = Math.max(outcome.grownMib, mib - memory);
      if (outcome.grownMib > MOST_MIB) {
        outcome.finds.push({ what: `memory grew by ${outcome.grownMib.toFixed(0)} MiB`, input: Buffer.concat(inputs) });
        break;
      }
      if (outcome.finds.length >= MOST_FINDS) break;
    }
    await door.honest?.();
  } finally {
    await door.close?.();
    await coverage?.stop();
  }
  outcome.ways = ways.size;
  return outcome;
}

/** `way`: what became of it, without what differs from input to input. `find`: what must not be. */
async function tryOnce(
  door: Door,
  input: Buffer,
): Promise<{ way: string; find: string | null; question?: Question | undefined }> {
  let taken: Taken;
  try {
    taken = await door.try(input);
  } catch (caught) {
    if (!(caught instanceof AegisError)) return { way: '!', find: `it threw ${describe(caught)}` };
    const way = `${caught.code} ${caught.detail.replaceAll(/[0-9a-f]{16,}|\d+|"[^"]*"/g, '#').slice(0, 120)}`;
    const isOurs = caught.entry.kind === 'internal';
    return { way, find: isOurs ? `it is ${caught.code}: ${describe(caught.cause)}` : null };
  }
  return { way: `+ ${taken.note ?? ''}`, find: null, question: taken.question };
}

const describe = (caught: unknown): string =>
  caught instanceof Error ? `${caught.stack?.split('\n').slice(0, 4).join(' | ')}` : String(caught);

export const nameOf = ({ input }: Find): string => createHash('sha256').update(input).digest('hex').slice(0, 16);
