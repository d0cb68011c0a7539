import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../measure/child.ts';
import type { BenchApp } from './app.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Folder of a release's commands; installs the release the first time. */
export const flwrBin = (version: string): string =>
  execFileSync(join(ROOT, 'scripts/flwr-venv.sh'), [version], { encoding: 'utf8' }).trim();

export const flwrEnv = (folder: string): NodeJS.ProcessEnv => ({
  FLWR_HOME: join(folder, 'flwr-home'),
  FLWR_TELEMETRY_ENABLED: '0',
  FLWR_DISABLE_UPDATE_CHECK: '1',
  FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION: '1',
  NO_PROXY: '127.0.0.1,localhost',
  PYTHONDONTWRITEBYTECODE: '1',
});

/** The stock CLI of flwr 1.41 against any server; the id of the run it started. */
export async function flwrRun(folder: string, port: number, caFile: string, app: BenchApp): Promise<bigint> {
  const env = flwrEnv(folder);
  const home = env.FLWR_HOME as string;
  await mkdir(home, { recursive: true });
  const config = `[superlink]\ndefault = "bench"\n[superlink.bench]\naddress = "127.0.0.1:${port}"\nroot-certificates = "${caFile}"\n`;
  await writeFile(join(home, 'config.toml'), config);
  const flwr = join(flwrBin('1.41.0'), 'flwr');
  const text = await run(flwr, ['run', app.directory, 'bench', '--format', 'json'], {
    env,
    log: join(folder, 'flwr-run.log'),
  });
  const runId = /"run-id": *"?(\d+)/.exec(text)?.[1];
  if (runId === undefined) throw new Error(`flwr run named no run:\n${text.slice(-2_000)}`);
  return BigInt(runId);
}
