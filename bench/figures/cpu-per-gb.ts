import type { CpuSeconds } from '../measure/processes.ts';
import { cpuBetween } from '../measure/processes.ts';
import { SeparateAegis } from '../peers/aegis-separate.ts';
import type { StartServer } from '../peers/contract.ts';
import { onBothSides, serverOf } from './both-sides.ts';
import type { Benchmark, Reading } from './contract.ts';
import { byProcess, megabytes } from './notes.ts';
import { median, roundSeconds, runRounds } from './rounds.ts';

const NODES = 10;
const PARAMETERS = 10_000_000;
const ROUNDS = 5;

const measured = { unit: 'CPU s per GB', sense: 'cost', aim: 'ratio 5' } as const;
const NOTHING: CpuSeconds = { total: Number.NaN, byProcess: {} };

async function cpuPerGigabyte(start: StartServer): Promise<Reading> {
  const { server, report, cpuAtFirstTask, memory } = await runRounds(start, {
    nodes: NODES,
    parameters: PARAMETERS,
    rounds: ROUNDS,
    dialect: 'http',
    timeoutMs: 420_000,
  });
  // From the first task of round 1 to the first task of the last: whole cycles, without start and end of the run.
  const cycles = ROUNDS - 1;
  const spent = cpuBetween(cpuAtFirstTask.get(1) ?? NOTHING, cpuAtFirstTask.get(ROUNDS) ?? NOTHING);
  const gigabytes = (report.updateBytes / ROUNDS / 1e9) * cycles;
  const note = [
    `${server}: ${spent.total.toFixed(2)} CPU s (${byProcess(spent.byProcess, (seconds) => seconds.toFixed(2))})`,
    `for ${gigabytes.toFixed(2)} GB in ${cycles} rounds of ${median(roundSeconds(report)).toFixed(2)} s;`,
    `peak memory ${megabytes(memory.bytes)} MB (${byProcess(memory.byProcess, megabytes)})`,
  ];
  return { value: spent.total / gigabytes, note: note.join(' ') };
}

export const cpuPerGb: Benchmark = {
  when: 'always',
  figures: [
    {
      ...measured,
      id: 'cpu-per-gb',
      must: { text: 'ratio ≥ 1.67', limit: (peer) => peer && peer / 1.67 },
      meaning:
        'server CPU seconds per GB of updates: the same amount of model sent out, the updates received and folded (10 nodes × 40 MB, TLS)',
      shortfall:
        'The door of Node receives, the core hashes, seals, reads again and folds each byte: the profile says where.',
    },
    {
      ...measured,
      id: 'cpu-per-gb-separate',
      must: { text: 'reported', limit: () => null },
      aim: '',
      meaning: 'the same with gateway, aggregator and nats-server as separate processes, mTLS and gRPC between them',
      shortfall: '',
    },
  ],
  measure: (context) =>
    onBothSides(context, ['cpu-per-gb', 'cpu-per-gb-separate'], async (side) => {
      const whole = await cpuPerGigabyte(serverOf(side));
      if (side === 'peer') return { 'cpu-per-gb': whole, 'cpu-per-gb-separate': whole };
      context.log(`  aegis: embedded ${whole.value.toPrecision(4)}; separate processes …`);
      return { 'cpu-per-gb': whole, 'cpu-per-gb-separate': await cpuPerGigabyte(SeparateAegis.start) };
    }),
};
