import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { CommandError } from './command-error.ts';
import { atExit } from './interruption.ts';
import { signalGroup } from './processes/process-group.ts';

/** The project's folder: the CLI runs from its sources. */
export const projectRoot = join(import.meta.dirname, '..', '..');

const aegisFl = join(projectRoot, 'clients', 'python', 'aegis_fl', 'src');

/** `given`, else the active virtual environment's interpreter, else `python3`. */
export const pythonOf = (given: string | undefined, env: NodeJS.ProcessEnv): string =>
  given ?? (env.VIRTUAL_ENV ? join(env.VIRTUAL_ENV, 'bin', 'python') : 'python3');

/** An environment in which Python finds `aegis_fl`, and flwr neither phones home nor looks for updates. */
export const pythonEnvironment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  ...env,
  PYTHONPATH: env.PYTHONPATH ? `${aegisFl}:${env.PYTHONPATH}` : aegisFl,
  PYTHONDONTWRITEBYTECODE: '1',
  PYTHONUNBUFFERED: '1',
  FLWR_TELEMETRY_ENABLED: '0',
  FLWR_DISABLE_UPDATE_CHECK: '1',
});

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. It is ended with its children when `signal` is raised. */
export async function runToEnd(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; signal?: AbortSignal | undefined; onLine?: (line: string) => void },
): Promise<Finished> {
  options.signal?.throwIfAborted();
  const child = spawn(command, args, {
    env: options.env,
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  // First asked, so that it can end what it started in groups of its own; then made to.
  const end = (signal: NodeJS.Signals) => child.pid !== undefined && signalGroup(child.pid, signal);
  const takeBack = atExit(() => end('SIGKILL'));
  const onAbort = () => {
    end('SIGINT');
    setTimeout(end, 3000, 'SIGKILL').unref();
  };
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    let rest = '';
    child[name].setEncoding('utf8').on('data', (piece: string) => {
      text[name] += piece;
      const lines = (rest + piece).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) options.onLine?.(line);
    });
  }
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('close', (code, killedBy) => resolve(code ?? (killedBy === null ? 1 : 128)));
  try {
    const code = await promise;
    options.signal?.throwIfAborted();
    return { code, ...text };
  } catch (error) {
    options.signal?.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new CommandError('PROGRAM_MISSING', `There is no program ${command}.`, {
      todo: 'Install it, or name another (for Python: --python PATH).',
      cause: error,
    });
  } finally {
    takeBack();
    options.signal?.removeEventListener('abort', onAbort);
  }
}
