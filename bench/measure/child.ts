import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { treeOf } from './processes.ts';

export interface ChildOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** stdout and stderr go to this file. */
  log: string;
  ipc?: boolean;
}

/** Everything the bench starts, so that an interrupted bench leaves nothing behind. */
const running = new Set<Child>();
let ending = false;

/** A process the bench started. It is stopped by its id, with everything it started itself. */
export class Child {
  readonly process: ChildProcess;
  readonly #log: string;

  constructor(command: string, args: string[], options: ChildOptions) {
    if (ending) throw new Error('the bench is ending');
    const log = openSync(options.log, 'a', 0o600);
    const stdio: StdioOptions = ['ignore', log, log, ...(options.ipc ? (['ipc'] as const) : [])];
    this.process = spawn(command, args, { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio });
    closeSync(log);
    this.#log = options.log;
    running.add(this);
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error(`${this.process.spawnfile} did not start`);
    return this.process.pid;
  }

  get alive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** The end of what the process wrote, for error messages. */
  async lastWords(): Promise<string> {
    return (await readFile(this.#log, 'utf8').catch(() => '')).slice(-2_000);
  }

  async exited(): Promise<number> {
    if (this.alive) await once(this.process, 'exit');
    running.delete(this);
    return this.process.exitCode ?? 1;
  }

  /** SIGKILL to the process and everything it started, as when the power goes. */
  async kill(): Promise<void> {
    if (this.alive) for (const pid of treeOf(this.pid)) signal(pid, 'SIGKILL');
    await this.exited();
  }

  async stop(): Promise<void> {
    if (!this.alive) {
      running.delete(this);
      return;
    }
    const tree = treeOf(this.pid);
    this.process.kill('SIGTERM');
    await Promise.race([this.exited(), sleep(15_000)]);
    for (const pid of tree) if (stillThere(pid)) signal(pid, 'SIGKILL');
    running.delete(this);
  }
}

export const stopEverything = async (): Promise<void> => {
  await Promise.allSettled([...running].map((child) => child.stop()));
};

/** The same, and nothing more starts. */
export const endEverything = async (): Promise<void> => {
  ending = true;
  await stopEverything();
};

/** Runs a command to its end and gives what it wrote; throws with its last words if it fails. */
export async function run(command: string, args: string[], options: ChildOptions): Promise<string> {
  const before = await stat(options.log).then(
    ({ size }) => size,
    () => 0,
  );
  const child = new Child(command, args, options);
  const code = await child.exited();
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}\n${await child.lastWords()}`);
  return (await readFile(options.log)).subarray(before).toString('utf8');
}

function stillThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // it ended by itself in between
  }
}
