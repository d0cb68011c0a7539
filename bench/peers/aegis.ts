import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child, run } from '../measure/child.ts';
import type { BenchApp } from './app.ts';
import type { Server, StartServer } from './contract.ts';
import { flwrBin, flwrEnv, flwrRun, ROOT } from './flwr-cli.ts';

const CLI = join(ROOT, 'cli/bin/aegis.ts');
const START_TIMEOUT_MS = 60_000;

interface Facts {
  port: number;
  ca: string;
}

/** `aegis up`, embedded: one process and its private nats-server, which is its child. */
export const aegis: StartServer = async (folder): Promise<Server> => {
  const state = join(folder, 'state');
  const log = join(folder, 'aegis.log');
  const suite = new Child(process.execPath, [...profiling(), CLI, 'up', '--json', '--state', state, '--port', '0'], {
    cwd: folder,
    log,
  });
  try {
    const { port, ca } = await whenReady(suite, log);
    return {
      name: 'Aegis embedded',
      host: '127.0.0.1',
      ports: { http: port, grpc: port },
      ca: await readFile(ca, 'utf8'),
      pid: suite.pid,
      prepare: (app) => importApp(folder, state, app),
      run: (app) => flwrRun(folder, port, ca, app),
      stop: () => suite.stop(),
    };
  } catch (error) {
    await suite.stop();
    throw error;
  }
};

/** AEGIS_BENCH_CPU_PROF=FOLDER: a V8 profile of the server is written there when it ends. */
const profiling = (): string[] => {
  const folder = process.env.AEGIS_BENCH_CPU_PROF;
  return folder ? ['--cpu-prof', '--cpu-prof-dir', folder] : [];
};

/** `aegis up --json` prints one JSON value, as soon as it is up. */
async function whenReady(suite: Child, log: string): Promise<Facts> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && suite.alive) {
    const facts = factsIn(await readFile(log, 'utf8'));
    if (facts) return facts;
    await sleep(50);
  }
  throw new Error(`aegis up did not become ready: ${await suite.lastWords()}`);
}

function factsIn(text: string): Facts | null {
  try {
    const { port, ca } = JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)) as Partial<Facts>;
    return port !== undefined && typeof ca === 'string' ? { port, ca } : null;
  } catch {
    return null;
  }
}

async function importApp(folder: string, state: string, app: BenchApp): Promise<void> {
  const env = flwrEnv(folder);
  await mkdir(env.FLWR_HOME as string, { recursive: true });
  const python = join(flwrBin('1.41.0'), 'python');
  const args = [CLI, 'app', 'import', app.directory, '--state', state, '--python', python];
  await run(process.execPath, args, { env, log: join(folder, 'app-import.log') });
}
