import type { Clock, Logger } from '@aegis/service-kit';
import type { Span } from '@opentelemetry/api';
import type { Balance } from '../domain/balance.ts';
import type { Refusal } from '../domain/refusal.ts';
import { type Alert, HARD_STOP, Thresholds } from '../domain/thresholds.ts';
import type { Measures } from './measures.ts';

/** Tells whoever watches when a scope reaches a threshold, and when something was refused. Memory: a restart tells it again. */
export class Alerts {
  private readonly thresholds = new Thresholds();
  private readonly watchers = new Set<(alert: Alert) => void>();
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly measures: Measures;

  constructor(clock: Clock, log: Logger, measures: Measures) {
    this.clock = clock;
    this.log = log;
    this.measures = measures;
  }

  charged(balances: readonly Balance[], span?: Span): void {
    for (const balance of balances) {
      const { kind } = balance.scope;
      this.measures.used.record(balance.used, { kind });
      this.measures.epsilon.record(balance.epsilon, { kind });
      span?.setAttributes({
        [`aegis.privacy.${kind}.epsilon`]: balance.epsilon,
        [`aegis.privacy.${kind}.delta`]: balance.budget.delta,
        [`aegis.privacy.${kind}.left`]: 1 - balance.used,
      });
      const percent = this.thresholds.reached(balance);
      if (percent !== null) this.tell(balance, percent, `${percent} % of the budget is used.`);
    }
  }

  refused({ detail, shortfalls }: Refusal): void {
    for (const { scope, partition, budget, epsilonBefore, left } of shortfalls) {
      const used = 1 - left;
      const none = { composition: 'renyi-filter', method: '', reserved: 0, committed: 0 } as const;
      this.tell({ scope, partition, budget, epsilon: epsilonBefore, used, ...none }, HARD_STOP, detail);
    }
  }

  /** Every alert from now on, until the signal. */
  async *follow(signal: AbortSignal): AsyncGenerator<Alert, void, undefined> {
    const queue: Alert[] = [];
    let wake = (): void => {};
    const watcher = (alert: Alert): void => {
      queue.push(alert);
      wake();
    };
    const stop = (): void => wake();
    this.watchers.add(watcher);
    signal.addEventListener('abort', stop, { once: true });
    try {
      while (!signal.aborted) {
        yield* queue.splice(0);
        if (queue.length === 0 && !signal.aborted)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      this.watchers.delete(watcher);
      signal.removeEventListener('abort', stop);
    }
  }

  private tell(balance: Balance, percent: number, detail: string): void {
    const alert = { balance, percent, at: this.clock.now(), detail };
    const { scope, epsilon, budget } = balance;
    this.log.warn(
      { ...scope, epsilon, of: budget.epsilon, delta: budget.delta, percent },
      'a privacy budget reached a threshold',
    );
    for (const watcher of this.watchers) watcher(alert);
  }
}
