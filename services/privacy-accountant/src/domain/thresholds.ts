import type { Balance } from './balance.ts';
import { scopeKey } from './scope.ts';

/** Shares of a budget at which people are told, in percent. */
export const THRESHOLDS = [50, 80, 95] as const;
/** Something was refused. */
export const HARD_STOP = 100;

export interface Alert {
  readonly balance: Balance;
  readonly percent: number;
  /** Unix milliseconds. */
  readonly at: number;
  readonly detail: string;
}

/** Remembers what was told, so that each threshold of a scope is told once. A release takes a scope back below it: then it may be told again. */
export class Thresholds {
  private readonly told = new Map<string, number>();

  /** The highest threshold that a balance has reached since it was looked at last; null: none. */
  reached(balance: Balance): number | null {
    const key = scopeKey(balance.scope);
    const level = THRESHOLDS.findLast((percent) => balance.used * 100 >= percent) ?? 0;
    const before = this.told.get(key) ?? 0;
    if (level === 0) this.told.delete(key);
    else this.told.set(key, level);
    return level > before ? level : null;
  }
}
