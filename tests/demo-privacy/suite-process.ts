// `aegis up` as a process of its own, to be killed with its nats-server and started again on the same state.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { projectRoot } from '../../cli/src/python.ts';

export interface Facts {
  readonly address: string;
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly pid: number;
  readonly natsPid: number;
}

export class SuiteProcess {
  readonly #state: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #more: readonly string[];
  #child: ChildProcess | undefined;
  #gone: Promise<unknown> = Promise.resolve();
  #facts: Facts | undefined;

  /** `more` options of `aegis up`. */
  constructor(state: string, env: NodeJS.ProcessEnv, more: readonly string[] = []) {
    this.#state = state;
    this.#more = more;
    this.#env = env;
  }

  get facts(): Facts {
    if (this.#facts === undefined) throw new Error('the suite was never up');
    return this.#facts;
  }

  /** Resolves when it is up; the second time on the port it had. */
  async start(): Promise<Facts> {
    const port = String(this.#facts?.port ?? 0);
    const args = ['up', '--json', '--state', this.#state, '--port', port, '--enrolment', 'open', ...this.#more];
    const child = spawn(process.execPath, [join(projectRoot, 'cli/bin/aegis.ts'), ...args], {
      env: this.#env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child = child;
    this.#gone = new Promise((resolve) => child.once('exit', resolve));
    let text = '';
    for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
      text += line;
      const facts = complete(text);
      if (facts === undefined) continue;
      this.#facts = facts;
      child.stdout?.resume();
      return facts;
    }
    throw new Error(`aegis up ended before it was up: ${text}`);
  }

  /** kill -9 of every process of the suite. */
  async kill(): Promise<void> {
    const { natsPid } = this.facts;
    this.#child?.kill('SIGKILL');
    try {
      process.kill(natsPid, 'SIGKILL');
    } catch {
      // gone with its parent already
    }
    await this.#gone;
  }

  async end(): Promise<void> {
    this.#child?.kill('SIGTERM');
    await this.#gone;
  }
}

function complete(text: string): Facts | undefined {
  try {
    const value = JSON.parse(text) as Facts & { ready?: boolean };
    return value.ready ? value : undefined;
  } catch {
    return undefined;
  }
}
