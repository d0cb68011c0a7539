import { onBothSides, serverOf } from './both-sides.ts';
import type { Benchmark } from './contract.ts';
import { median, roundSeconds, runRounds } from './rounds.ts';

const NODES = 10;
const PARAMETERS = 10_000_000;
const ROUNDS = 5;

export const cpuPerGb: Benchmark = {
  long: false,
  figures: [
    {
      id: 'cpu-per-gb',
      unit: 'CPU s per GB',
      sense: 'cost',
      must: 'ratio ≥ 1.67',
      aim: 'ratio 5',
      meaning:
        'server CPU seconds per GB of updates: the same amount of model sent out, the updates received and folded (10 nodes × 40 MB, TLS)',
    },
  ],
  measure: (context) =>
    onBothSides(context, ['cpu-per-gb'], async (side) => {
      const { server, report, cpuAtFirstTask, memory } = await runRounds(serverOf(side), {
        nodes: NODES,
        parameters: PARAMETERS,
        rounds: ROUNDS,
        dialect: 'http',
        signaturesAhead: 16,
        timeoutMs: 420_000,
      });
      // From the first task of round 1 to the first task of the last: whole cycles, without start and end of the run.
      const cycles = ROUNDS - 1;
      const spent = (cpuAtFirstTask.get(ROUNDS) ?? Number.NaN) - (cpuAtFirstTask.get(1) ?? Number.NaN);
      const gigabytes = (report.updateBytes / ROUNDS / 1e9) * cycles;
      const round = median(roundSeconds(report)).toFixed(2);
      const peak = Math.round(memory.bytes / 1e6);
      const note = `${server}: ${spent.toFixed(2)} CPU s for ${gigabytes.toFixed(2)} GB in ${cycles} rounds of ${round} s; peak memory ${peak} MB`;
      return { 'cpu-per-gb': { value: spent / gigabytes, note } };
    }),
};
