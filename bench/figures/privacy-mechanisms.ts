import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../measure/child.ts';
import { withScratch } from '../measure/scratch.ts';
import { flwrBin, flwrEnv, ROOT } from '../peers/flwr-cli.ts';
import { onBothSides } from './both-sides.ts';
import { type Benchmark, fixed, type Reading, type Side } from './contract.ts';

const DISCRETE = ['2', '20', '1000', '100000'];
const PRIVATIZE = ['privatize-100k-ms', 'privatize-1m-ms'];
const SPEED = join(ROOT, 'bench/peers/privatize_speed.py');

/** What a Rust program prints as its last line, built first if need be. */
function figuresOf(folder: string, args: string[]): Record<string, number> {
  const cargo = ['run', '--release', '--quiet', '--locked', ...args];
  return JSON.parse(execFileSync('cargo', cargo, { cwd: join(ROOT, folder), encoding: 'utf8' }));
}

const privatize = (side: Side): Promise<Record<string, number>> =>
  withScratch(async (folder) => {
    const out = join(folder, 'figures.json');
    const PYTHONPATH = join(ROOT, 'clients/python/aegis_fl/src');
    const options = { env: { ...flwrEnv(folder), PYTHONPATH }, log: join(folder, 'privatize.log') };
    await run(join(flwrBin('1.41.0'), 'python'), [SPEED, side, out], options);
    return JSON.parse(await readFile(out, 'utf8')) as Record<string, number>;
  });

function slowest(figures: Record<string, number>, note: string): Reading {
  const all = DISCRETE.map((sigma) => figures[`discrete-gaussian-${sigma}`] ?? 0);
  const each = DISCRETE.map((sigma, i) => `σ ${sigma}: ${all[i]?.toPrecision(3)}`).join(', ');
  return { value: Math.min(...all), note: `${note}; ${each}` };
}

async function measure(side: Side): Promise<Record<string, Reading>> {
  const python = await privatize(side);
  const reading = (name: string, note: string): [string, Reading] => [name, { value: python[name] ?? 0, note }];
  if (side === 'peer') {
    const prio = figuresOf('bench/peers/prio-noise', []);
    return {
      'discrete-gaussian-msps': slowest(prio, 'prio 0.18, exact'),
      ...Object.fromEntries([
        reading('noise-msps', 'np.random.normal: not secure'),
        ...PRIVATIZE.map((name) =>
          reading(name, "clip and np.random.normal, as flwr's LocalDpMod: neither exact nor secure"),
        ),
      ]),
    };
  }
  const noise = figuresOf('core-native', ['-p', 'aegis-core', '--example', 'noise_speed']);
  return {
    'noise-msps': { value: noise.continuous ?? 0, note: 'ziggurat on AES-256-CTR' },
    'discrete-gaussian-msps': slowest(noise, 'exact'),
    ...Object.fromEntries(PRIVATIZE.map((name) => reading(name, 'aegis_fl, float32, exact sampler, CPU time, median'))),
  };
}

/** Noise and what it costs; `make bench-privacy`. */
export const privacyMechanisms: Benchmark = {
  when: 'named',
  figures: [
    {
      id: 'noise-msps',
      unit: 'million samples per second and core',
      sense: 'rate',
      must: { text: '120', limit: fixed(120) },
      aim: '250',
      meaning: 'normal variables in floating point from secure bits; no guarantee is claimed for them',
      shortfall: '',
    },
    {
      id: 'discrete-gaussian-msps',
      unit: 'million samples per second and core',
      sense: 'rate',
      must: { text: '20', limit: fixed(20) },
      aim: '100',
      meaning: 'exact discrete Gaussian noise, the slowest of σ = 2, 20, 1,000 and 100,000',
      shortfall: '',
    },
    {
      id: 'privatize-100k-ms',
      unit: 'ms',
      sense: 'cost',
      must: { text: '3', limit: fixed(3) },
      aim: '2',
      meaning: 'an update of 100,000 float32 clipped and noised from Python, one core',
      shortfall: '',
    },
    {
      id: 'privatize-1m-ms',
      unit: 'ms',
      sense: 'cost',
      must: { text: '60', limit: fixed(60) },
      aim: '15',
      meaning: 'an update of 1,000,000 float32 clipped and noised from Python, one core',
      shortfall: '',
    },
  ],
  measure: (context) => onBothSides(context, ['noise-msps', 'discrete-gaussian-msps', ...PRIVATIZE], measure),
};
