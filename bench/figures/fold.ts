import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../measure/child.ts';
import { withScratch } from '../measure/scratch.ts';
import { flwrBin, flwrEnv } from '../peers/flwr-cli.ts';
import { onBothSides } from './both-sides.ts';
import { type Benchmark, fixed, type Side } from './contract.ts';

interface FoldReport {
  /** f32 input folded, and the CPU seconds of the process meanwhile. */
  gigabytes: number;
  cpuSeconds: number;
  wallSeconds: number;
  detail: string;
}

const PROBE = fileURLToPath(new URL('../peers/aegis-fold.ts', import.meta.url));
const PEER_PROBE = fileURLToPath(new URL('../peers/flower_fold.py', import.meta.url));

const probe = (side: Side): Promise<FoldReport> =>
  withScratch(async (folder) => {
    const out = join(folder, 'fold.json');
    const options = { env: flwrEnv(folder), log: join(folder, 'fold.log') };
    if (side === 'aegis') await run(process.execPath, [PROBE, folder, out], options);
    else await run(join(flwrBin('1.41.0'), 'python'), [PEER_PROBE, out], options);
    return JSON.parse(await readFile(out, 'utf8')) as FoldReport;
  });

export const foldGbps: Benchmark = {
  when: 'always',
  figures: [
    {
      id: 'fold-gbps',
      unit: 'GB per core-second',
      sense: 'rate',
      must: { text: '1.0', limit: fixed(1) },
      aim: 'memory bound',
      meaning: 'float32 updates of 40 MB folded into the weighted mean, GB of input per second of CPU',
      shortfall: 'Opening the seal and adding into sums that cannot depend on the order both touch every byte.',
    },
  ],
  measure: (context) =>
    onBothSides(context, ['fold-gbps'], async (side) => {
      const { gigabytes, cpuSeconds, wallSeconds, detail } = await probe(side);
      const note = `${detail}; ${gigabytes.toFixed(2)} GB in ${wallSeconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} CPU s`;
      return { 'fold-gbps': { value: gigabytes / cpuSeconds, note } };
    }),
};
