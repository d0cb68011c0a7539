// Random lists of operations on whole rounds: real nodes of the core, two processes of the service, restarts, late and repeated answers,
// nodes that go and nodes that lie. A sum is exact or nothing is opened.
import { AegisError } from '@aegis/errors';
import { seededRandom } from '@aegis/testkit';
import { beforeAll, expect, it } from 'vitest';
import { quorumOf } from './domain/masking.ts';
import { Federation, type Plan, planOf } from './testing/cohort.ts';
import { type Chance, type Manner, Play } from './testing/play.ts';

const LISTS = Number(process.env.SECAGG_LISTS ?? 200);
const SEED = process.env.SECAGG_SEED;
const OPERATIONS = 40;

let federation: Federation;
beforeAll(async () => {
  federation = await Federation.create();
});

const chanceOf = (seed: string): Chance => {
  const random = seededRandom(seed);
  return { below: (below) => Number(random.uint64() % BigInt(below)) };
};

const planFor = async (chance: Chance, at: number): Promise<Plan> => {
  const sparse = chance.below(5) === 0;
  const count = sparse ? 8 : 3 + chance.below(5);
  const plan = await planOf(count, { dropouts: 0, colluders: 0, run: String(at + 1) });
  const colluders = [0, 0, 0.2][chance.below(3)] ?? 0;
  const threshold = quorumOf(count, colluders);
  const terms = sparse
    ? { ...plan.terms, degree: 4, threshold: 3, minSurvivors: count - 1 }
    : { ...plan.terms, threshold, minSurvivors: Math.max(2, threshold - chance.below(2)) };
  return { ...plan, terms, colluders: sparse ? 0 : colluders };
};

const manners: readonly Manner[] = [
  ...Array<Manner>(70).fill('answers'),
  ...Array<Manner>(10).fill('twice'),
  ...Array<Manner>(20).fill('lies'),
  'poisons',
  'drops',
];

const playOne = async (seed: string, at: number): Promise<'opened' | AegisError | null> => {
  const chance = chanceOf(seed);
  const plan = await planFor(chance, at);
  const play = await Play.begin(federation, plan, chance.below(3), chance);
  for (let operation = 0; operation < OPERATIONS; operation += 1) {
    const actor = play.actors[chance.below(play.actors.length)];
    const what = chance.below(120);
    if (what < 3) await play.restart();
    else if (what === 3) await play.tick();
    else if (actor) await play.step(actor, manners[chance.below(manners.length)] ?? 'answers');
  }
  await play.finish();
  return play.outcome;
};

it(`of ${SEED ?? LISTS} random lists, every sum is exact, or nothing is opened`, { timeout: 600_000 }, async () => {
  const outcomes = new Map<string, number>();
  const seeds = SEED === undefined ? Array.from({ length: LISTS }, (_, at) => `list ${at}`) : [SEED];
  for (const [at, seed] of seeds.entries()) {
    const outcome = await playOne(seed, at).catch((error: unknown) => {
      throw new Error(`SECAGG_SEED="${seed}"`, { cause: error });
    });
    const name = outcome instanceof AegisError ? outcome.code : String(outcome);
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
  }
  expect([...outcomes.keys()].filter((name) => name !== 'opened' && name !== 'SECAGG_TOO_FEW')).toEqual([]);
  if (SEED === undefined)
    for (const name of ['opened', 'SECAGG_TOO_FEW']) expect(outcomes.get(name)).toBeGreaterThan(LISTS / 10);
});
