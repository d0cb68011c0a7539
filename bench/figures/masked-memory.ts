import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../measure/child.ts';
import { withScratch } from '../measure/scratch.ts';
import { type BenchContext, type Benchmark, type Comparison, type FigureSpec, fixed, type Point } from './contract.ts';
import { megabytes } from './notes.ts';

const PROBE = fileURLToPath(new URL('../peers/aegis-masked-memory.ts', import.meta.url));
/** The first and the last are compared. */
const NODES = [10, 100] as const;

/** Flower's vectors are eight bytes an element, in one object, and that may have 64 MiB. */
const PROTOCOLS = [
  { protocol: 'aegis', id: 'secagg-memory', parameters: 10_000_000, named: 'masked round' },
  { protocol: 'flower', id: 'flower-secagg-memory', parameters: 8_000_000, named: "round of Flower's SecAgg+" },
] as const;

interface Report {
  vectorBytes: number;
  beforeBytes: number;
  peakBytes: number;
}

const probe = (protocol: string, nodes: number, parameters: number): Promise<Report> =>
  withScratch(async (folder) => {
    const out = join(folder, 'memory.json');
    const args = ['--expose-gc', PROBE, folder, out, protocol, String(nodes), String(parameters)];
    await run(process.execPath, args, { log: join(folder, 'memory.log') });
    return JSON.parse(await readFile(out, 'utf8')) as Report;
  });

const figuresOf = ({ id, parameters, named }: (typeof PROTOCOLS)[number]): FigureSpec[] => [
  {
    id,
    unit: 'MB',
    sense: 'cost',
    must: { text: 'one vector and a constant', limit: () => null },
    aim: '',
    meaning: `highest resident memory of a process that does the aggregator's part of a ${named} of ${NODES[1]} nodes × ${parameters / 1e6} million parameters, without doors`,
    shortfall: '',
  },
  {
    id: `${id}-growth`,
    unit: '×',
    sense: 'cost',
    must: { text: '≤ 1.10', limit: fixed(1.1) },
    aim: '1.0',
    meaning: `that memory divided by the same with ${NODES[0]} nodes`,
    shortfall:
      "Vectors of Flower's are read into buffers that wait for the garbage collector: one of them more is 10 %.",
  },
];

async function readingsOf(of: (typeof PROTOCOLS)[number], log: BenchContext['log']): Promise<Comparison[]> {
  const peaks = [];
  for (const nodes of NODES) {
    const report = await probe(of.protocol, nodes, of.parameters);
    peaks.push({ nodes, ...report });
    log(`  aegis: ${of.id} ${megabytes(report.peakBytes)} MB with ${nodes} nodes`);
  }
  const [few, many] = [peaks[0], peaks.at(-1)] as [(typeof peaks)[number], (typeof peaks)[number]];
  const points = { [of.id]: peaks.map(({ nodes, peakBytes }): Point => [nodes, Math.round(peakBytes / 1e6)]) };
  const note = `a vector is ${megabytes(many.vectorBytes)} MB of it; ${megabytes(many.beforeBytes)} MB before the round`;
  const shown = peaks.map(({ nodes, peakBytes }) => `${megabytes(peakBytes)} MB with ${nodes}`).join(', ');
  return [
    { id: of.id, aegis: { value: Math.round(many.peakBytes / 1e6), note, points }, peer: null },
    { id: `${of.id}-growth`, aegis: { value: many.peakBytes / few.peakBytes, note: `${shown} nodes` }, peer: null },
  ];
}

export const maskedMemory: Benchmark = {
  when: 'named',
  figures: PROTOCOLS.flatMap(figuresOf),
  measure: async ({ sides, log }) => {
    if (!sides.includes('aegis')) return [];
    const all: Comparison[] = [];
    for (const of of PROTOCOLS) all.push(...(await readingsOf(of, log)));
    return all;
  },
};
