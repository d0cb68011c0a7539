import type { PeakMemory } from '../measure/processes.ts';
import { onBothSides, serverOf } from './both-sides.ts';
import type { Benchmark, Side } from './contract.ts';
import { runRounds } from './rounds.ts';

const PARAMETERS = 10_000_000;
const FEW = 20;
const MANY = 200;

async function peakWith(side: Side, nodes: number): Promise<PeakMemory & { server: string; seconds: number }> {
  const begin = performance.now();
  const { server, memory } = await runRounds(serverOf(side), {
    nodes,
    parameters: PARAMETERS,
    rounds: 2,
    dialect: 'http',
    signaturesAhead: 16,
    timeoutMs: 1_200_000,
  });
  return { server, seconds: (performance.now() - begin) / 1_000, ...memory };
}

const megabytes = (bytes: number): number => Math.round(bytes / 1e6);

const byProcess = (peak: PeakMemory): string =>
  Object.entries(peak.byProcess)
    .map(([name, bytes]) => `${name} ${megabytes(bytes)}`)
    .join(', ');

export const memory: Benchmark = {
  long: true,
  figures: [
    {
      id: 'rss-200x40',
      unit: 'MB',
      sense: 'cost',
      must: '≤ 500',
      aim: 'flat to 1,000 nodes',
      meaning: 'highest resident memory of all server processes together in two rounds with 200 nodes × 40 MB',
    },
    {
      id: 'rss-growth',
      unit: '×',
      sense: 'cost',
      must: '≤ 1.10',
      aim: '1.0',
      meaning: 'that memory divided by the same with 20 nodes',
    },
  ],
  measure: (context) =>
    onBothSides(context, ['rss-200x40', 'rss-growth'], async (side) => {
      const few = await peakWith(side, FEW);
      context.log(`  ${side}: ${FEW} nodes ${megabytes(few.bytes)} MB in ${few.seconds.toFixed(0)} s`);
      const many = await peakWith(side, MANY);
      const note = `${many.server}: ${byProcess(many)}; whole run ${many.seconds.toFixed(0)} s`;
      return {
        'rss-200x40': { value: megabytes(many.bytes), note },
        'rss-growth': {
          value: many.bytes / few.bytes,
          note: `${many.server}: ${megabytes(many.bytes)} MB against ${megabytes(few.bytes)} MB`,
        },
      };
    }),
};
