import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError } from '../command-error.ts';
import { runToEnd } from '../python.ts';
import { flwrConfig, type Reach } from '../suite/flower-snippets.ts';
import { flowerEnvironment } from './supernode.ts';

export interface FlwrRunOptions {
  readonly app: string;
  /** As after `flwr run --run-config`. */
  readonly runConfig: string;
  readonly reach: Reach;
  /** Folder of the release's programs. */
  readonly bin: string;
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** Starts the app with the stock `flwr` command; the answer is the run's id. */
export async function flwrRun(options: FlwrRunOptions): Promise<bigint> {
  const { app, runConfig, reach, bin, home, env, signal } = options;
  await mkdir(home, { recursive: true, mode: 0o700 });
  await writeFile(join(home, 'config.toml'), flwrConfig(reach));
  const args = ['run', app, 'aegis', '--format', 'json', '--run-config', runConfig];
  const run = await runToEnd(join(bin, 'flwr'), args, { env: flowerEnvironment(env, bin, home), signal });
  const runId = runIdIn(run.stdout);
  if (run.code === 0 && runId !== undefined) return runId;
  throw new CommandError(
    'FLWR_RUN_FAILED',
    `flwr run failed (exit code ${run.code}).\n${run.stdout}${run.stderr}`.trim(),
  );
}

/** The JSON value may stand among other lines. */
export function runIdIn(output: string): bigint | undefined {
  const match = /"run-id":\s*"(\d+)"/.exec(output);
  return match?.[1] === undefined ? undefined : BigInt(match[1]);
}
