import type { StartServer } from '../peers/contract.ts';
import { boundAegis, onBothSides, serverOf } from './both-sides.ts';
import type { Benchmark, Reading } from './contract.ts';
import { median, roundSeconds, runRounds, secondsAfterAnswers } from './rounds.ts';

const NODES = 10;
const ROUNDS = 21;
/** Rounds of a new process, whose code is still being compiled, on both sides. */
const WARM_UP = 5;

const measured = { unit: 's', sense: 'cost' } as const;

async function deadTime(start: StartServer): Promise<Reading> {
  const { server, report } = await runRounds(start, {
    nodes: NODES,
    parameters: 1_000,
    rounds: ROUNDS,
    dialect: 'http',
    timeoutMs: 180_000,
  });
  const all = roundSeconds(report);
  const seconds = all.slice(WARM_UP);
  const spread = `${Math.min(...seconds).toFixed(3)}–${Math.max(...seconds).toFixed(3)}`;
  const after = median(secondsAfterAnswers(report).slice(WARM_UP)).toFixed(3);
  const first = median(all.slice(0, WARM_UP)).toFixed(3);
  const note = `${server}: median of ${seconds.length} rounds, ${spread} s, ${after} s of it between the last answer and the next task; of the ${WARM_UP} rounds before them ${first} s; models checked: ${report.modelsChecked}`;
  return { value: median(seconds), note };
}

export const roundDeadTime: Benchmark = {
  when: 'always',
  figures: [
    {
      ...measured,
      id: 'round-dead-time',
      must: { text: '≤ 0.1 and 20× less', limit: (peer) => Math.min(0.1, peer ? peer / 20 : 0.1) },
      aim: '0.02',
      meaning: 'seconds a round takes with 10 nodes that train in no time and a model of 1,000 parameters',
      shortfall:
        'A round of ten stock nodes is 277 signed calls on cores they share with the server; the note says what lies between the last answer and the next task.',
    },
    {
      ...measured,
      id: 'round-dead-time-bound',
      must: { text: 'reported', limit: () => null },
      aim: '',
      meaning: 'the same, the signature of a node verified once per connection and key',
      shortfall: '',
    },
  ],
  measure: (context) =>
    onBothSides(context, ['round-dead-time', 'round-dead-time-bound'], async (side) => {
      const whole = await deadTime(serverOf(side));
      // flwr verifies every signature: its reading is the same for both.
      const bound = side === 'peer' ? whole : await deadTime(boundAegis);
      return { 'round-dead-time': whole, 'round-dead-time-bound': bound };
    }),
};
