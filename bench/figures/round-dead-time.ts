import { onBothSides, serverOf } from './both-sides.ts';
import type { Benchmark } from './contract.ts';
import { median, roundSeconds, runRounds } from './rounds.ts';

const NODES = 10;
const ROUNDS = 9;

export const roundDeadTime: Benchmark = {
  long: false,
  figures: [
    {
      id: 'round-dead-time',
      unit: 's',
      sense: 'cost',
      must: '≤ 0.1 and 20× less',
      aim: '0.02',
      meaning: 'seconds a round takes with 10 nodes that train in no time and a model of 1,000 parameters',
    },
  ],
  measure: (context) =>
    onBothSides(context, ['round-dead-time'], async (side) => {
      const { server, report } = await runRounds(serverOf(side), {
        nodes: NODES,
        parameters: 1_000,
        rounds: ROUNDS,
        dialect: 'http',
        signaturesAhead: 16,
        timeoutMs: 180_000,
      });
      const seconds = roundSeconds(report);
      const spread = `${Math.min(...seconds).toFixed(3)}–${Math.max(...seconds).toFixed(3)}`;
      const note = `${server}: median of ${seconds.length} rounds, ${spread} s; models checked: ${report.modelsChecked}`;
      return { 'round-dead-time': { value: median(seconds), note } };
    }),
};
