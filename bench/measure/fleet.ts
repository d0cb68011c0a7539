import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type {
  CallsReport,
  FleetOptions,
  FleetReport,
  FromNodes,
  IdleReport,
  PacedReport,
  ToNodes,
} from '../nodes/protocol.ts';
import { Child } from './child.ts';

const NODES_MAIN = fileURLToPath(new URL('../nodes/main.ts', import.meta.url));

type Told<K extends FromNodes['kind']> = Extract<FromNodes, { kind: K }>;

/** Simulated nodes in a process of their own, so that their CPU is not the server's. */
export class Fleet {
  readonly #child: Child;
  readonly #heard: FromNodes[] = [];
  #wake: (() => void) | null = null;
  /** Called at the moment a round's first task reaches a node. */
  onFirstTask: (round: number) => void = () => {};

  constructor(folder: string) {
    this.#child = new Child(process.execPath, ['--max-old-space-size=4096', NODES_MAIN], {
      log: join(folder, 'nodes.log'),
      ipc: true,
    });
    this.#child.process.on('message', (message: FromNodes) => {
      if (message.kind === 'first-task') this.onFirstTask(message.round);
      else this.#heard.push(message);
      this.#wake?.();
    });
    this.#child.process.on('exit', () => this.#wake?.());
  }

  async connect(options: FleetOptions, timeoutMs = 120_000): Promise<void> {
    this.#tell({ kind: 'start', options });
    await this.#hear('connected', timeoutMs);
  }

  async finished(timeoutMs: number): Promise<FleetReport> {
    return (await this.#hear('finished', timeoutMs)).report;
  }

  /** Heartbeats as fast as they are answered; `at` is called when counting begins and ends. */
  async calls(warmupSeconds: number, seconds: number, at: (moment: 'begin' | 'end') => void): Promise<CallsReport> {
    this.#tell({ kind: 'calls', warmupSeconds, seconds });
    await this.#hear('calls-begin', warmupSeconds * 1_000 + 30_000);
    at('begin');
    const { report } = await this.#hear('calls-end', seconds * 1_000 + 30_000);
    at('end');
    return report;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Heartbeats of all nodes together at this pace. */
  async paced(perSecond: number, seconds: number): Promise<PacedReport> {
    this.#tell({ kind: 'paced', perSecond, seconds });
    return (await this.#hear('paced-end', seconds * 1_000 + 60_000)).report;
  }

  /** Idle nodes, counted for a while; `at` is called when counting begins and ends. */
  async idle(settleSeconds: number, seconds: number, at: (moment: 'begin' | 'end') => void): Promise<IdleReport> {
    this.#tell({ kind: 'idle', settleSeconds, seconds });
    await this.#hear('idle-begin', settleSeconds * 1_000 + 60_000);
    at('begin');
    const { report } = await this.#hear('idle-end', seconds * 1_000 + 60_000);
    at('end');
    return report;
  }

  async stop(): Promise<void> {
    if (this.#child.alive) {
      this.#tell({ kind: 'stop' });
      const timer = setTimeout(() => this.#child.process.kill('SIGKILL'), 15_000);
      if (this.#child.alive) await once(this.#child.process, 'exit');
      clearTimeout(timer);
    }
    await this.#child.stop();
  }

  #tell(message: ToNodes): void {
    if (this.#child.alive) this.#child.process.send(message);
  }

  async #hear<K extends FromNodes['kind']>(kind: K, timeoutMs: number): Promise<Told<K>> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const failed = this.#heard.find((message) => message.kind === 'failed');
      if (failed?.kind === 'failed') throw new Error(`the simulated nodes failed: ${failed.reason}`);
      const index = this.#heard.findIndex((message) => message.kind === kind);
      if (index >= 0) return this.#heard.splice(index, 1)[0] as Told<K>;
      if (!this.#child.alive) throw new Error(`the simulated nodes ended: ${await this.#child.lastWords()}`);
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`the simulated nodes did not say ${kind} within ${timeoutMs / 1_000} s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 1_000));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
