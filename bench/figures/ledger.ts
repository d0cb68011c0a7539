import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../measure/child.ts';
import { withScratch } from '../measure/scratch.ts';
import { type Benchmark, fixed } from './contract.ts';

interface LedgerReport {
  pairsPerSecond: number;
  medianMs: number;
  p99Ms: number;
  cpuMsPerPair: number;
  entries: number;
  /** Milliseconds of one sync on the same disk: appended, and written in place. */
  floor: { append: number; inPlace: number };
}

const PROBE = fileURLToPath(new URL('../peers/aegis-ledger.ts', import.meta.url));
const ID = 'ledger-pairs-per-s';

/** No peer keeps a durable ledger; what it is held against is the disk. */
export const ledgerPairs: Benchmark = {
  when: 'named',
  figures: [
    {
      id: ID,
      unit: 'pairs per second',
      sense: 'rate',
      must: { text: '200', limit: fixed(200) },
      aim: '1,000',
      meaning: 'Reserve and Commit of 100 units, durable and anchored, by 4 clients that contend for the same data set',
      shortfall: 'Each of the two waits for a sync of the page and one of its anchor.',
    },
  ],
  measure: async ({ sides }) => {
    if (!sides.includes('aegis')) return [];
    const report = await withScratch(async (folder) => {
      const out = join(folder, 'ledger.json');
      await run(process.execPath, [PROBE, folder, out], { env: process.env, log: join(folder, 'ledger.log') });
      return JSON.parse(await readFile(out, 'utf8')) as LedgerReport;
    });
    const { pairsPerSecond, medianMs, p99Ms, cpuMsPerPair, floor } = report;
    const note =
      `a pair takes ${medianMs.toFixed(1)} ms (99 %: ${p99Ms.toFixed(1)}), ${cpuMsPerPair.toFixed(2)} ms of it CPU; ` +
      `fsync floor: ${floor.append.toFixed(2)} ms to append, ${floor.inPlace.toFixed(2)} ms in place; the ledger of ${report.entries} entries verified afterwards`;
    return [{ id: ID, aegis: { value: pairsPerSecond, note }, peer: null }];
  },
};
