import { join } from 'node:path';
import { besiege, type SiegeReport } from '../crash/siege.ts';
import { judge, type Verdict } from '../crash/verdict.ts';
import { keepScratch, withScratch } from '../measure/scratch.ts';
import { type BenchContext, type Benchmark, type Comparison, fixed, type Point, type Reading } from './contract.ts';

const ID = 'crash-lost-updates';
/** Of the kills, so many hit the whole embedded suite; the others hit single processes. */
const EMBEDDED_SHARE = 0.25;

export const crash: Benchmark = {
  when: 'named',
  figures: [
    {
      id: ID,
      unit: 'updates',
      sense: 'cost',
      must: { text: '0', limit: fixed(0) },
      aim: '0',
      meaning:
        'acknowledged updates missing or counted twice, and models that are not bit-identical to an undisturbed run, over random kills with stock nodes',
      shortfall: 'A bug: the note names the first.',
    },
  ],
  measure: async (context): Promise<Comparison[]> => {
    const reading = context.sides.includes('aegis') ? await underKills(context) : null;
    if (reading) context.log(`  ${reading.note}`);
    return [{ id: ID, aegis: reading, peer: null }];
  },
};

const underKills = (context: BenchContext): Promise<Reading> =>
  withScratch(async (folder) => {
    const { kills, seed, log } = context;
    const embedded = Math.round(kills * EMBEDDED_SHARE);
    log(`  seeds ${seed} (embedded, ${embedded} kills) and ${seed + 1} (separate, ${kills - embedded} kills)`);
    try {
      const whole = await besiege(
        join(folder, 'embedded'),
        { kind: 'embedded', kills: embedded, seed, undisturbed: true },
        log,
      );
      const parts = await besiege(
        join(folder, 'separate'),
        { kind: 'separate', kills: kills - embedded, seed: seed + 1, undisturbed: false },
        log,
      );
      const sieges = [whole, parts];
      const verdicts = sieges.map(({ replies, rounds }) => judge(replies, rounds, whole.undisturbed));
      const faults = faultsOf(sieges, verdicts);
      for (const fault of faults) log(`  FAULT ${fault}`);
      if (faults.length > 0) keepScratch(folder);
      return { value: faults.length, note: noteOf(sieges, verdicts, faults, seed), points: timeline(sieges) };
    } catch (error) {
      keepScratch(folder);
      throw error;
    }
  });

const faultsOf = (sieges: SiegeReport[], verdicts: Verdict[]): string[] => [
  ...verdicts.flatMap(({ missing }) => missing.map((fault) => `missing: ${fault}`)),
  ...verdicts.flatMap(({ twice }) => twice.map((fault) => `twice: ${fault}`)),
  ...verdicts.flatMap(({ wrong }) => wrong.map((fault) => `wrong: ${fault}`)),
  ...sieges.flatMap(({ broken }) => broken.map((fault) => `broken: ${fault}`)),
];

function noteOf(sieges: SiegeReport[], verdicts: Verdict[], faults: string[], seed: number): string {
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const kills = sieges.flatMap((siege) => siege.kills);
  const byVictim = new Map<string, number>();
  for (const { victim } of kills) byVictim.set(victim, (byVictim.get(victim) ?? 0) + 1);
  const hit = [...byVictim].map(([victim, count]) => `${victim} ${count}`).join(', ');
  const rounds = sum(sieges.map((siege) => siege.rounds.length));
  const acknowledged = sum(verdicts.map((verdict) => verdict.acknowledged));
  const seconds = sum(sieges.map((siege) => siege.kills.at(-1)?.at ?? 0));
  return [
    `seeds ${seed}, ${seed + 1}: ${kills.length} kills in ${seconds.toFixed(0)} s (${hit})`,
    `${rounds} rounds, ${acknowledged} acknowledged updates of flwr 1.41, 1.39 and 1.22`,
    `${sum(verdicts.map(({ partial }) => partial))} rounds closed without every node`,
    `${sum(verdicts.map(({ repeated }) => repeated))} tasks executed again`,
    `${sum(sieges.map(({ nodeRestarts }) => nodeRestarts))} stock nodes ended and were started again`,
    `${sum(sieges.map(({ ownExits }) => ownExits.length))} parts ended by themselves and were started again`,
    ...faults.slice(0, 1),
  ].join('; ');
}

/** Acknowledged updates at each kill, by victim; the second siege after the first. */
function timeline(sieges: SiegeReport[]): Record<string, Point[]> {
  const points: Record<string, Point[]> = {};
  const start = { at: 0, acknowledged: 0 };
  for (const { kills, replies } of sieges) {
    for (const { at, victim, acknowledged } of kills) {
      points[victim] ??= [];
      points[victim].push([Math.round(10 * (start.at + at)) / 10, start.acknowledged + acknowledged]);
    }
    start.at += kills.at(-1)?.at ?? 0;
    start.acknowledged += replies.flat().filter(({ acknowledged }) => acknowledged).length;
  }
  return points;
}
