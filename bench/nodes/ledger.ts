import type { CallTimes, FleetReport, RoundReport } from './protocol.ts';

/** What the nodes of one process did, counted on their side. */
export class Ledger {
  bytesPulled = 0;
  bytesPushed = 0;
  updateBytes = 0;
  retries = 0;
  emptyPulls = 0;
  runOver = 0;
  modelsChecked = 0;
  nodesFinished = 0;
  nodesLost = 0;
  readonly #noted = new Set<string>();
  readonly #rounds = new Map<number, RoundReport>();
  readonly #calls = new Map<string, CallTimes>();
  readonly #onFirstTask: (round: number) => void;

  constructor(onFirstTask: (round: number) => void) {
    this.#onFirstTask = onFirstTask;
  }

  took(round: number): void {
    const now = Date.now();
    const known = this.#rounds.get(round);
    if (known) known.lastTask = now;
    else {
      this.#rounds.set(round, { round, firstTask: now, lastTask: now, lastAnswer: 0 });
      this.#onFirstTask(round);
    }
  }

  answered(round: number): void {
    const known = this.#rounds.get(round);
    if (known) known.lastAnswer = Date.now();
  }

  called(method: string, milliseconds: number): void {
    const times = this.#calls.get(method) ?? { count: 0, totalMs: 0, longestMs: 0 };
    times.count += 1;
    times.totalMs += milliseconds;
    times.longestMs = Math.max(times.longestMs, milliseconds);
    this.#calls.set(method, times);
  }

  retried(error: Error): void {
    this.retries += 1;
    this.#note('repeats a call', error);
  }

  gaveUp(error: Error): void {
    this.nodesLost += 1;
    this.#note('gave up', error);
  }

  /** The first of each kind, for the log. */
  #note(what: string, { message }: Error): void {
    const words = `a node ${what}: ${message}`;
    if (this.#noted.size >= 20 || this.#noted.has(words)) return;
    this.#noted.add(words);
    console.error(words);
  }

  answers(method: string): CallTimes {
    return { ...(this.#calls.get(method) ?? { count: 0, totalMs: 0, longestMs: 0 }) };
  }

  report(): FleetReport {
    const { user, system } = process.cpuUsage();
    const { bytesPulled, bytesPushed, updateBytes, retries, emptyPulls, modelsChecked, nodesFinished } = this;
    return {
      rounds: [...this.#rounds.values()],
      calls: Object.fromEntries(this.#calls),
      nodesFinished,
      bytesPulled,
      bytesPushed,
      updateBytes,
      retries,
      emptyPulls,
      modelsChecked,
      cpuSeconds: (user + system) / 1e6,
    };
  }
}
