import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from '../measure/child.ts';
import { AEGIS_CLI, importApp, type Reach } from './aegis-cli.ts';
import type { BenchApp } from './app.ts';
import type { Server, ServerProcess } from './contract.ts';
import { flwrRun } from './flwr-cli.ts';

const START_TIMEOUT_MS = 60_000;

interface Facts {
  port: number;
  ca: string;
  tokenFile: string;
}

/** `aegis up`, embedded: one process and its private nats-server, which is its child. */
export class EmbeddedAegis implements Server {
  readonly name = 'Aegis embedded';
  readonly host = '127.0.0.1';
  readonly ca: string;
  readonly reach: Reach;
  readonly #folder: string;
  readonly #options: readonly string[];
  readonly #port: number;
  #suite: Child;

  private constructor(folder: string, options: readonly string[], suite: Child, facts: Facts, ca: string) {
    this.#folder = folder;
    this.#options = options;
    this.#suite = suite;
    this.#port = facts.port;
    this.ca = ca;
    this.reach = { address: `127.0.0.1:${facts.port}`, caFile: facts.ca, tokenFile: facts.tokenFile };
  }

  /** `options`: more of `aegis up`'s own. */
  static async start(folder: string, options: readonly string[] = []): Promise<EmbeddedAegis> {
    const suite = launch(folder, 0, options);
    try {
      const facts = await whenReady(suite);
      return new EmbeddedAegis(folder, options, suite, facts, await readFile(facts.ca, 'utf8'));
    } catch (error) {
      await suite.stop();
      throw error;
    }
  }

  get ports(): { http: number; grpc: number } {
    return { http: this.#port, grpc: this.#port };
  }

  get processes(): ServerProcess[] {
    return [{ name: 'aegis', pid: this.#suite.pid }];
  }

  prepare(app: BenchApp): Promise<void> {
    return importApp(this.#folder, this.reach, app);
  }

  run(app: BenchApp): Promise<bigint> {
    return flwrRun(this.#folder, this.#port, this.reach.caFile, app);
  }

  /** SIGKILL to the suite and its nats-server at once. */
  async kill(): Promise<void> {
    await this.#suite.kill();
  }

  /** The same state and port; does not wait until it is up. */
  startAgain(): void {
    this.#suite = launch(this.#folder, this.#port, this.#options);
  }

  get alive(): boolean {
    return this.#suite.alive;
  }

  stop(): Promise<void> {
    return this.#suite.stop();
  }
}

const launch = (folder: string, port: number, options: readonly string[]): Child => {
  const up = ['up', '--json', '--state', join(folder, 'state'), '--port', `${port}`, ...options];
  return new Child(process.execPath, [...profiling(), AEGIS_CLI, ...up], {
    cwd: folder,
    log: join(folder, 'aegis.log'),
  });
};

/** AEGIS_BENCH_CPU_PROF=FOLDER: a V8 profile of each Aegis process is written there when it ends. */
export const profiling = (): string[] => {
  const folder = process.env.AEGIS_BENCH_CPU_PROF;
  return folder ? ['--cpu-prof', '--cpu-prof-dir', folder] : [];
};

/** `aegis up --json` prints one JSON value, as soon as it is up. */
async function whenReady(suite: Child): Promise<Facts> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && suite.alive) {
    const facts = factsIn(await suite.lastWords());
    if (facts) return facts;
    await sleep(50);
  }
  throw new Error(`aegis up did not become ready: ${await suite.lastWords()}`);
}

function factsIn(text: string): Facts | null {
  try {
    const facts = JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)) as Partial<Facts>;
    const { port, ca, tokenFile } = facts;
    return port !== undefined && ca !== undefined && tokenFile !== undefined ? { port, ca, tokenFile } : null;
  } catch {
    return null;
  }
}
