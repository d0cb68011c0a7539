// Programs that only these targets need, each in a Python environment below .cache, installed on first use.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const project = join(import.meta.dirname, '../..');
const cache = join(project, '.cache/terraform');

/** The environment's bin folder with these packages in it. Throws with pip's words. */
export function python(name: string, packages: readonly string[]): string {
  const env = join(cache, name);
  const stamp = join(env, '.installed');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== packages.join(' ')) {
    console.log(`installing ${packages.join(', ')}`);
    mkdirSync(cache, { recursive: true });
    for (const command of [
      [process.env.AEGIS_PYTHON ?? 'python3', '-m', 'venv', '--clear', env],
      [join(env, 'bin/python'), '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages],
    ]) {
      const done = spawnSync(command[0] as string, command.slice(1), { encoding: 'utf8' });
      if (done.status !== 0) throw new Error(`${command.join(' ')}\n${done.stderr}`);
    }
    writeFileSync(stamp, packages.join(' '));
  }
  return join(env, 'bin');
}

const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

export interface Emulator {
  readonly url: string;
  readonly version: string;
  /** Python with boto3. */
  readonly python: string;
  stop(): Promise<void>;
}

/** moto's server on a free port of this machine, with nothing in it. */
export async function startEmulator(log: string): Promise<Emulator> {
  const bin = python('moto', ['moto[server]==5.2.5', 'boto3']);
  const port = await freePort();
  const child: ChildProcess = spawn(join(bin, 'moto_server'), ['-H', '127.0.0.1', '-p', String(port)], {
    // Node groups and pods' roles attach policies that AWS manages.
    env: { ...process.env, MOTO_IAM_LOAD_MANAGED_POLICIES: 'true' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const sink = createWriteStream(log);
  child.stdout?.pipe(sink);
  child.stderr?.pipe(sink);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  for (let attempt = 0; ; attempt++) {
    if (child.exitCode !== null || attempt > 300) throw new Error(`the emulator did not start; see ${log}`);
    if (
      await fetch(`${url}/moto-api/data.json`).then(
        (answer) => answer.ok,
        () => false,
      )
    )
      break;
    await sleep(200);
  }
  const version = spawnSync(join(bin, 'python'), ['-c', 'import moto; print(moto.__version__)'], { encoding: 'utf8' });
  return {
    url,
    version: version.stdout.trim(),
    python: join(bin, 'python'),
    async stop() {
      child.kill();
      await ended;
    },
  };
}
