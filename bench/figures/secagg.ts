import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../measure/child.ts';
import { withScratch } from '../measure/scratch.ts';
import { flwrBin, flwrEnv, ROOT } from '../peers/flwr-cli.ts';
import {
  type BenchContext,
  type Benchmark,
  type Comparison,
  type FigureSpec,
  fixed,
  type Reading,
} from './contract.ts';

const PEER_PROBE = fileURLToPath(new URL('../peers/flower_secagg.py', import.meta.url));
const NODES = 500;
const DROPPED = 150;
/** Blocks of 16 bytes, padded: a seed of 32 bytes, a private key in PEM. */
const SEED_BLOCKS = 3;
const KEY_BLOCKS = 20;
const EXTRAPOLATED = 'extrapolated from flwr 1.41.0, primitive by primitive';

/** CPU seconds of Flower's primitives; see flower_secagg.py. */
interface Primitives {
  mask: number;
  agreement: number;
  seal: number;
  open: number;
  splitBlock: number;
  combineBlock: number;
  quantise: number;
  bytesPerParameter: number;
  length: number;
}

/** What secagg_speed prints for any figure. */
interface Measured {
  wallSeconds: number;
  cpuSeconds: number;
  [detail: string]: number;
}

/** The core's own probe, built when it is asked for. */
const core = (figure: string, ...sizes: number[]): Promise<Measured> =>
  withScratch(async (folder) => {
    const cargo = ['run', '--quiet', '--release', '--locked', '-p', 'aegis-core', '--example', 'secagg_speed', '--'];
    const args = [...cargo, figure, ...sizes.map(String)];
    const text = await run('cargo', args, { cwd: join(ROOT, 'core-native'), log: join(folder, 'core.log') });
    const line = text.split('\n').findLast((candidate) => candidate.startsWith('{'));
    if (line === undefined) throw new Error(`secagg_speed ${figure} printed no figure:\n${text.slice(-2_000)}`);
    return JSON.parse(line) as Measured;
  });

const flower = (): Promise<Primitives> =>
  withScratch(async (folder) => {
    const out = join(folder, 'secagg.json');
    const options = { env: flwrEnv(folder), log: join(folder, 'secagg.log') };
    await run(join(flwrBin('1.41.0'), 'python'), [PEER_PROBE, out], options);
    return JSON.parse(await readFile(out, 'utf8')) as Primitives;
  });

type Readings = Record<string, Reading>;

async function aegisReadings(log: BenchContext['log']): Promise<Readings> {
  const mask = await core('mask');
  log(`  aegis: mask ${mask.cpuSeconds} CPU s`);
  const shamir = await core('shamir');
  const client = await core('client', NODES, 100_000);
  const unmask = await core('unmask', NODES, 100_000);
  log(`  aegis: unmask ${unmask.cpuSeconds} CPU s`);
  const bytes = await core('bytes');
  const seconds = ({ cpuSeconds, wallSeconds }: Measured): Reading => ({
    value: cpuSeconds,
    note: `one core, CPU s; ${wallSeconds.toPrecision(3)} s by the clock`,
  });
  const elements = mask.elements ?? Number.NaN;
  return {
    'mask-u32-per-s': {
      value: elements / mask.cpuSeconds,
      note: `AES-256-CTR, ${elements / 1e6} million elements in ${mask.cpuSeconds.toPrecision(3)} CPU s`,
    },
    'unmask-500-30': seconds(unmask),
    'secagg-client-500': {
      value: client.cpuSeconds,
      note: `all five rounds, ${client.journalBytes} bytes journalled; ${client.wallSeconds.toPrecision(3)} s by the clock`,
    },
    'shamir-500': seconds(shamir),
    'secagg-bytes-per-param': {
      value: (bytes.bytes ?? Number.NaN) / (bytes.parameters ?? Number.NaN),
      note: `${bytes.bits} bits an element`,
    },
  };
}

function peerReadings(each: Primitives): Readings {
  const survivors = NODES - DROPPED;
  const unmask =
    survivors * SEED_BLOCKS * each.combineBlock +
    DROPPED * KEY_BLOCKS * each.combineBlock +
    DROPPED * survivors * each.agreement +
    (survivors + DROPPED * survivors) * each.mask;
  const others = NODES - 1;
  const client =
    (SEED_BLOCKS + KEY_BLOCKS) * each.splitBlock +
    others * (2 * each.agreement + each.seal + each.open) +
    NODES * each.mask +
    each.quantise;
  const extrapolated = (value: number): Reading => ({ value, note: EXTRAPOLATED });
  return {
    'mask-u32-per-s': { value: each.length / each.mask, note: 'flwr 1.41.0: MT19937, int64' },
    'unmask-500-30': extrapolated(unmask),
    'secagg-client-500': extrapolated(client),
    'shamir-500': extrapolated(SEED_BLOCKS * (each.splitBlock + each.combineBlock)),
    'secagg-bytes-per-param': { value: each.bytesPerParameter, note: 'flwr 1.41.0: int64 in npy' },
  };
}

const measured = (
  id: string,
  unit: string,
  most: number,
  aim: string,
  meaning: string,
  shortfall: string,
): FigureSpec => ({
  id,
  unit,
  sense: 'cost',
  must: { text: `≤ ${most}`, limit: fixed(most) },
  aim,
  meaning,
  shortfall,
});

const FIGURES: FigureSpec[] = [
  {
    id: 'mask-u32-per-s',
    unit: 'elements per core-second',
    sense: 'rate',
    must: { text: '1.0e9', limit: fixed(1e9) },
    aim: '1.5e9',
    meaning: 'masks expanded from their seeds and added, u32 elements per second of CPU',
    shortfall: 'The keystream of the AES library bounds it.',
  },
  {
    ...measured(
      'unmask-500-30',
      'CPU s',
      8,
      '5',
      'the secagg service after 30 % of 500 nodes dropped out, 100,000 elements, complete graph: from opened shares to the total mask',
      '52,850 masks of 100,000 elements are keystream.',
    ),
    must: { text: '≤ 8 and ratio ≥ 20', limit: (peer) => (peer ? Math.min(8, peer / 20) : 8) },
  },
  measured(
    'secagg-client-500',
    'CPU s',
    0.25,
    '0.08',
    "one guard's whole work in a round of 500 nodes and 100,000 parameters, complete graph, state saved each time",
    'Signatures of 499 peers, twice, and agreements with them are most of it.',
  ),
  measured(
    'shamir-500',
    'CPU s',
    0.01,
    '0.002',
    'a secret of 32 bytes split into 500 shares and combined from 251',
    'Six polynomials of degree 250 at 500 points.',
  ),
  measured(
    'secagg-bytes-per-param',
    'bytes',
    3,
    '2.9',
    'of a masked update on its way: 100 nodes, values of 16 bits, weights of 1, no noise',
    'The sum of 100 values of 16 bits has 23.',
  ),
];

export const secagg: Benchmark = {
  when: 'named',
  figures: FIGURES,
  measure: async (context): Promise<Comparison[]> => {
    const aegis = context.sides.includes('aegis') ? await aegisReadings(context.log) : {};
    const peer = context.sides.includes('peer') ? peerReadings(await flower()) : {};
    for (const [side, readings] of Object.entries({ aegis, peer })) {
      for (const [id, { value, note }] of Object.entries(readings)) {
        context.log(`  ${side}: ${id} ${value.toPrecision(4)} (${note})`);
      }
    }
    return FIGURES.map(({ id }) => ({ id, aegis: aegis[id] ?? null, peer: peer[id] ?? null }));
  },
};

/** A whole cohort in one process; Flower's own would take hours. */
export const secaggCohort: Benchmark = {
  when: 'named',
  figures: [
    measured(
      'secagg-1000x1m',
      's',
      180,
      '60',
      '1,000 nodes with a million parameters each, all their work and the servers’, 10 % dropping out, planned for 20 % drop-outs and 10 % colluders, 2 cores, sparse graph',
      'Masks of all nodes are keystream: degree × nodes × parameters.',
    ),
  ],
  measure: async (context): Promise<Comparison[]> => {
    if (!context.sides.includes('aegis')) return [{ id: 'secagg-1000x1m', aegis: null, peer: null }];
    const cohort = await core('cohort', 1_000, 1_000_000, 2);
    const note = [
      `degree ${cohort.degree}, threshold ${cohort.threshold}, ${cohort.bits} bits, risk 2^${cohort.log2Risk?.toFixed(1)};`,
      `masking ${cohort.maskingWallSeconds?.toFixed(1)} s; ${cohort.cpuSeconds.toFixed(1)} CPU s on 2 threads`,
    ].join(' ');
    context.log(`  aegis: ${cohort.wallSeconds.toFixed(1)} s (${note})`);
    return [{ id: 'secagg-1000x1m', aegis: { value: cohort.wallSeconds, note }, peer: null }];
  },
};
