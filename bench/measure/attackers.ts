import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { AttackOptions, AttackReport, FromAttackers, ToAttackers } from '../attack/protocol.ts';
import { Child } from './child.ts';

const MAIN = fileURLToPath(new URL('../attack/main.ts', import.meta.url));
const TIMEOUT_MS = 30_000;

/** Hostile clients in a process of their own. */
export class Attackers {
  readonly #child: Child;

  constructor(log: string) {
    this.#child = new Child(process.execPath, [MAIN], { log, ipc: true });
  }

  get pid(): number {
    return this.#child.pid;
  }

  async begin(options: AttackOptions): Promise<void> {
    await this.#ask({ kind: 'begin', options }, 'begun');
  }

  async report(): Promise<AttackReport> {
    return (await this.#ask({ kind: 'report' }, 'report')).report;
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }

  async #ask<K extends FromAttackers['kind']>(
    message: ToAttackers,
    kind: K,
  ): Promise<Extract<FromAttackers, { kind: K }>> {
    this.#child.process.send(message);
    const [answer] = (await once(this.#child.process, 'message', { signal: AbortSignal.timeout(TIMEOUT_MS) })) as [
      FromAttackers,
    ];
    if (answer.kind === kind) return answer as Extract<FromAttackers, { kind: K }>;
    throw new Error(answer.kind === 'failed' ? answer.reason : `the attackers said ${answer.kind}`);
  }
}
