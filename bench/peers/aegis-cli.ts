import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../measure/child.ts';
import type { BenchApp } from './app.ts';
import { flwrBin, flwrEnv, ROOT } from './flwr-cli.ts';

export const AEGIS_CLI = join(ROOT, 'cli/bin/aegis.ts');

/** How the `aegis` command reaches a suite, wherever it runs. */
export interface Reach {
  /** host:port */
  address: string;
  caFile: string;
  tokenFile: string;
}

export interface RoundFacts {
  round: number;
  cohort: number;
  accepted: number;
  refused: number;
  dropped: number;
  modelId: string;
}

export interface RunFacts {
  status: string;
  subStatus: string;
  details: string;
  phase: string;
  history: RoundFacts[];
}

const reachOptions = ({ address, caFile, tokenFile }: Reach): string[] => [
  '--address',
  address,
  '--ca',
  caFile,
  '--token-file',
  tokenFile,
];

/** One command to its end; what it said is kept in `<folder>/<log>`. */
async function aegisCommand(folder: string, reach: Reach, args: string[], log: string): Promise<string> {
  const env = flwrEnv(folder);
  await mkdir(env.FLWR_HOME as string, { recursive: true });
  return await run(process.execPath, [AEGIS_CLI, ...args, ...reachOptions(reach)], { env, log: join(folder, log) });
}

export async function importApp(folder: string, reach: Reach, app: BenchApp): Promise<void> {
  const python = join(flwrBin('1.41.0'), 'python');
  await aegisCommand(folder, reach, ['app', 'import', app.directory, '--python', python], 'app-import.log');
}

export async function showRun(folder: string, reach: Reach, runId: bigint): Promise<RunFacts> {
  const text = await aegisCommand(folder, reach, ['runs', 'show', `${runId}`, '--json'], 'runs-show.log');
  return JSON.parse(text.slice(text.indexOf('{'))) as RunFacts;
}

/** The model after a round, as float32 values by array name. */
export async function exportModel(
  folder: string,
  reach: Reach,
  runId: bigint,
  round: number,
): Promise<Map<string, Float32Array>> {
  const file = join(folder, `model-${runId}-${round}.safetensors`);
  const choice = ['--run', `${runId}`, '--round', `${round}`, '--format', 'safetensors', '--output', file];
  await aegisCommand(folder, reach, ['models', 'export', ...choice], 'models-export.log');
  return readSafetensors(await readFile(file));
}

/** The f32 tensors of a safetensors file: a header's length, the header (JSON), the data. */
function readSafetensors(bytes: Buffer): Map<string, Float32Array> {
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<
    string,
    { dtype: string; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, Float32Array>();
  for (const [name, facts] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    if (facts.dtype !== 'F32') throw new Error(`array ${name} is ${facts.dtype}, not F32`);
    const [begin, end] = facts.data_offsets;
    const data = new Uint8Array(bytes.subarray(start + begin, start + end));
    tensors.set(name, new Float32Array(data.buffer));
  }
  return tensors;
}
