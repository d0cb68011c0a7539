import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { epsilonOf, PrivacyAccountant, type PrivacyEvent, sigmaFor } from '@aegis/core-native';
import { run } from '../measure/child.ts';
import { withScratch } from '../measure/scratch.ts';
import { flwrEnv, ROOT } from '../peers/flwr-cli.ts';
import { onBothSides } from './both-sides.ts';
import { type Benchmark, type FigureSpec, fixed, type Reading, type Side } from './contract.ts';

interface Case {
  q: number;
  steps: number;
  delta: number;
}
interface EpsilonCase extends Case {
  sigma: number;
  /** Seconds dp-accounting's loss distribution took when the table was made; null: too long to be made. */
  pld_pess_s: number | null;
}
interface CalibrationCase extends Case {
  target_eps: number;
}

const IDS = ['rdp-eps-ms', 'rdp-incremental-us', 'pld-eps-ms', 'calibrate-rdp-ms', 'calibrate-pld-ms'];
const TABLE = join(ROOT, 'tests/vectors/privacy/golden-public.json');
/** The peer is asked for loss distributions only where that takes less than this. */
const LIGHT_SECONDS = 1;
const ROUNDS = 200;

async function readCases(): Promise<{ epsilon: EpsilonCase[]; light: EpsilonCase[]; calibration: CalibrationCase[] }> {
  const table = JSON.parse(await readFile(TABLE, 'utf8'));
  const epsilon = (table.eps_grid as EpsilonCase[]).filter(({ q }) => q < 1);
  const light = epsilon.filter(({ pld_pess_s: seconds }) => seconds !== null && seconds < LIGHT_SECONDS);
  return { epsilon, light, calibration: table.calibration as CalibrationCase[] };
}

const roundOf = ({ q, sigma }: EpsilonCase, count: number): PrivacyEvent => ({
  mechanism: 'gaussian',
  'noise-multiplier': sigma,
  sampling: q < 1 ? { kind: 'poisson', rate: q } : { kind: 'none' },
  relation: 'add-or-remove-one',
  count,
});

async function milliseconds(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e3;
}

async function each<T>(cases: readonly T[], work: (of: T) => unknown): Promise<number[]> {
  const found: number[] = [];
  for (const one of cases) found.push(await milliseconds(() => work(one)));
  return found;
}

/** Microseconds for one more round and the question after it, the mechanism being known. */
async function incremental(of: EpsilonCase): Promise<number> {
  const accountant = PrivacyAccountant.of([roundOf(of, of.steps)]);
  accountant.epsilon(of.delta);
  const one = [roundOf(of, 1)];
  const took = await milliseconds(() => {
    for (let round = 0; round < ROUNDS; round += 1) {
      accountant.compose(one);
      accountant.epsilon(of.delta);
    }
  });
  return (took * 1e3) / ROUNDS;
}

const calibrate = (effort: 'quick' | 'tight') => (of: CalibrationCase) => {
  const { 'noise-multiplier': _, ...round } = roundOf({ ...of, sigma: 1, pld_pess_s: null }, of.steps);
  return sigmaFor([round], { epsilon: of.target_eps, delta: of.delta }, { effort });
};

async function ours(): Promise<Record<string, number[]>> {
  const { epsilon, calibration } = await readCases();
  const ask = (effort: 'quick' | 'tight') => (of: EpsilonCase) =>
    epsilonOf([roundOf(of, of.steps)], of.delta, { effort });
  await each(epsilon, ask('quick'));
  const micros: number[] = [];
  for (const one of epsilon) micros.push(await incremental(one));
  return {
    'rdp-eps-ms': await each(epsilon, ask('quick')),
    'rdp-incremental-us': micros,
    'pld-eps-ms': await each(epsilon, ask('tight')),
    'calibrate-rdp-ms': await each(calibration, calibrate('quick')),
    'calibrate-pld-ms': await each(calibration, calibrate('tight')),
  };
}

const theirs = (): Promise<Record<string, number[]>> =>
  withScratch(async (folder) => {
    const [cases, out] = [join(folder, 'cases.json'), join(folder, 'figures.json')];
    await writeFile(cases, JSON.stringify(await readCases()));
    const venv = [join(ROOT, 'scripts/flwr-venv.sh'), '1.41.0', 'dp-accounting==0.6.0'];
    const bin = execFileSync(venv[0] as string, venv.slice(1), { encoding: 'utf8' }).trim();
    const script = join(ROOT, 'bench/peers/dp_accounting_speed.py');
    await run(join(bin, 'python'), [script, cases, out], { env: flwrEnv(folder), log: join(folder, 'peer.log') });
    return JSON.parse(await readFile(out, 'utf8')) as Record<string, number[]>;
  });

async function measure(side: Side): Promise<Record<string, Reading>> {
  const found = side === 'aegis' ? await ours() : await theirs();
  const who = side === 'aegis' ? 'median' : 'dp-accounting 0.6.0, median';
  return Object.fromEntries(
    Object.entries(found).map(([id, values]) => {
      const sorted = values.toSorted((a, b) => a - b);
      const worst = sorted.at(-1) ?? Number.NaN;
      const note = `${who} of ${sorted.length}, worst ${worst.toPrecision(3)}`;
      return [id, { value: sorted[Math.floor(sorted.length / 2)] ?? Number.NaN, note }];
    }),
  );
}

const figure = (id: string, unit: string, must: number, aim: string, meaning: string): FigureSpec => ({
  id,
  unit,
  sense: 'cost',
  must: { text: String(must), limit: fixed(must) },
  aim,
  meaning,
  shortfall:
    'Each answer is looked at twice by loss distributions, the second time on a finer grid, so as never to be looser than the peer; calibration does so for its last steps.',
});

/** What questions about privacy cost; `make bench-privacy`. */
export const privacyAccounting: Benchmark = {
  when: 'named',
  figures: [
    figure(
      'rdp-eps-ms',
      'ms',
      1,
      '0.2',
      'ε by Rényi divergence at the best order, over the sampled rows of the golden table',
    ),
    figure('rdp-incremental-us', 'µs', 20, '5', 'one more round composed, and ε asked again'),
    figure('pld-eps-ms', 'ms', 25, '10', 'ε by the distribution of the loss: the smallest bound of all methods'),
    figure('calibrate-rdp-ms', 'ms', 20, '5', 'the noise multiplier for a budget, by Rényi divergence'),
    figure('calibrate-pld-ms', 'ms', 500, '100', 'the same by the distribution of the loss'),
  ],
  measure: (context) => onBothSides(context, IDS, measure),
};
