import { type ChildProcess, spawn } from 'node:child_process';
import { atExit } from '../interruption.ts';

/** Sends a signal to a whole process group; false when nobody is left in it. */
export function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-leader, signal);
    return true;
  } catch (error) {
    // EPERM: it is there. (Some systems say so of a group of zombies.)
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export interface GroupOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Open file that takes what the group writes. */
  readonly output: number;
}

// The shell leaves a watcher in the group and becomes the program itself (exec keeps the pid, which names the group). The
// watcher reads a pipe whose other end only we hold: end-of-file means that we are gone, and then so is the group.
const launcher = '(read -r _ <&3; kill -KILL -$$) >/dev/null 2>&1 & exec 3<&-; exec "$0" "$@"';

/**
 * A program with everything it starts, in a process group of its own: Ctrl-C does not reach it, its end is ours to bring.
 * When this process dies, however hard, the group goes with it.
 */
export class ProcessGroup {
  readonly child: ChildProcess;
  /** Resolves when the leader has ended; never rejects. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #takeBack: () => void;

  constructor(command: string, args: readonly string[], options: GroupOptions) {
    const { output, ...rest } = options;
    const stdio = ['ignore', output, output, 'pipe'] as const;
    this.child = spawn('/bin/sh', ['-c', launcher, command, ...args], { ...rest, stdio: [...stdio], detached: true });
    this.child.stdio[3]?.on('error', () => undefined); // the watcher may be gone already
    this.#takeBack = atExit(() => this.signal('SIGKILL'));
    this.ended = new Promise((resolve) => {
      this.child.once('error', () => resolve({ code: 127, signal: null }));
      this.child.once('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  get running(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  signal(name: NodeJS.Signals): void {
    if (this.child.pid !== undefined) signalGroup(this.child.pid, name);
  }

  /** Asks the leader to end, which says goodbye and ends its own; then makes the group end. Returns when nobody is left in it. */
  async end(graceMs: number): Promise<void> {
    if (this.running) this.child.kill('SIGTERM');
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, graceMs);
    await Promise.race([this.ended, late.promise]);
    clearTimeout(timer);
    await this.kill();
  }

  /** The plug is pulled: nobody in the group can say goodbye. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#empty(5000);
    this.#takeBack();
  }

  async #empty(limitMs: number): Promise<void> {
    const { pid } = this.child;
    if (pid === undefined) return;
    const until = Date.now() + limitMs;
    while (signalGroup(pid, 0) && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
