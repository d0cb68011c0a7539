import type { PeakMemory } from '../measure/processes.ts';
import { onBothSides, serverOf } from './both-sides.ts';
import { type Benchmark, fixed, type Point, type Side } from './contract.ts';
import { byProcess, megabytes } from './notes.ts';
import { runRounds } from './rounds.ts';

const PARAMETERS = 10_000_000;
/** The first and the last are compared; all are drawn. */
const NODES = [20, 60, 200] as const;

interface Peak extends PeakMemory {
  nodes: number;
  server: string;
  seconds: number;
}

async function peakWith(side: Side, nodes: number): Promise<Peak> {
  const begin = performance.now();
  const { server, memory } = await runRounds(serverOf(side), {
    nodes,
    parameters: PARAMETERS,
    rounds: 2,
    dialect: 'http',
    timeoutMs: 1_200_000,
  });
  return { nodes, server, seconds: (performance.now() - begin) / 1_000, ...memory };
}

const shown = ({ nodes, bytes }: Peak): string => `${megabytes(bytes)} MB with ${nodes}`;

export const memory: Benchmark = {
  when: 'long',
  figures: [
    {
      id: 'rss-200x40',
      unit: 'MB',
      sense: 'cost',
      must: { text: '≤ 500', limit: fixed(500) },
      aim: 'flat to 1,000 nodes',
      meaning: 'highest resident memory of all server processes together in two rounds with 200 nodes × 40 MB',
      shortfall:
        'Bodies that are being received and the rendered model are held in one Node process; its heap keeps what it once took.',
    },
    {
      id: 'rss-growth',
      unit: '×',
      sense: 'cost',
      must: { text: '≤ 1.10', limit: fixed(1.1) },
      aim: '1.0',
      meaning: 'that memory divided by the same with 20 nodes',
      shortfall: 'More nodes at once fill the budget of bodies in memory that fewer nodes do not reach.',
    },
  ],
  measure: (context) =>
    onBothSides(context, ['rss-200x40', 'rss-growth'], async (side) => {
      const peaks: Peak[] = [];
      for (const nodes of NODES) {
        const peak = await peakWith(side, nodes);
        peaks.push(peak);
        context.log(`  ${side}: ${shown(peak)} nodes, ${peak.seconds.toFixed(0)} s`);
      }
      const [few, many] = [peaks[0] as Peak, peaks.at(-1) as Peak];
      const points = { memory: peaks.map(({ nodes, bytes }): Point => [nodes, Math.round(bytes / 1e6)]) };
      const note = `${many.server}: ${byProcess(many.byProcess, megabytes)}; whole run ${many.seconds.toFixed(0)} s`;
      return {
        'rss-200x40': { value: Math.round(many.bytes / 1e6), note, points },
        'rss-growth': { value: many.bytes / few.bytes, note: `${many.server}: ${peaks.map(shown).join(', ')} nodes` },
      };
    }),
};
