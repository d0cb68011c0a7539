import { AegisError } from '@aegis/errors';
import type { Clock } from '@aegis/service-kit';
import type { FakeClock } from '@aegis/testkit';

/** A whole round of the largest world takes a few hundred. */
const PASSES_AT_ONCE = 20_000;

/**
 * One simulated process. It runs, stands still (as under SIGSTOP), or is dead (as after kill -9). JavaScript cannot be killed, so
 * everything that goes in or out of a process passes a gate: what a dead one still does reaches nobody.
 */
export class Life {
  readonly name: string;
  /** How far its machine's wall clock is ahead of everybody's. */
  wallAhead = 0;
  private readonly clock: FakeClock;
  private readonly death = new AbortController();
  private waking: (() => void)[] = [];
  private paused = false;
  private readonly timers = new Set<{ cancel(): void }>();
  private readonly onDeath: (() => void)[] = [];
  private writesLeft = Number.POSITIVE_INFINITY;
  private crashAfterwards = false;
  private passes = 0;
  private passedAt = 0;
  private readonly onBusyLoop: (life: Life) => void;

  constructor(name: string, clock: FakeClock, onBusyLoop: (life: Life) => void) {
    this.name = name;
    this.clock = clock;
    this.onBusyLoop = onBusyLoop;
  }

  get isDead(): boolean {
    return this.death.signal.aborted;
  }

  get isPaused(): boolean {
    return this.paused;
  }

  /** Aborted at its death. */
  get died(): AbortSignal {
    return this.death.signal;
  }

  pause(): void {
    if (!this.isDead) this.paused = true;
  }

  resume(): void {
    this.paused = false;
    for (const wake of this.waking.splice(0)) wake();
  }

  kill(): void {
    if (this.isDead) return;
    for (const timer of this.timers) timer.cancel();
    this.timers.clear();
    this.waking = [];
    for (const react of this.onDeath) react();
    this.death.abort(new AegisError('UNAVAILABLE', `${this.name} died.`));
  }

  whenDead(react: () => void): void {
    this.onDeath.push(react);
  }

  /** Passes while the process runs, waits while it stands still, and never comes back from a dead one. */
  gate(): Promise<void> {
    if (this.isDead || this.isBusyLoop()) return new Promise(() => {});
    if (!this.paused) return Promise.resolve();
    return new Promise((resolve) => this.waking.push(resolve));
  }

  /** So much in no time at all never ends. */
  private isBusyLoop(): boolean {
    const now = this.clock.monotonic();
    if (now !== this.passedAt) this.passes = 0;
    this.passedAt = now;
    this.passes += 1;
    if (this.passes === PASSES_AT_ONCE) this.onBusyLoop(this);
    return this.passes >= PASSES_AT_ONCE;
  }

  /** It dies at its n-th write from now: before the write happened, or after it and before its answer. */
  crashAtWrite(n: number, afterwards: boolean): void {
    this.writesLeft = n;
    this.crashAfterwards = afterwards;
  }

  /** Around every write of the process, which may be its last. */
  write(happen: () => void): void {
    this.writesLeft -= 1;
    const crashes = this.writesLeft === 0;
    const happens = !crashes || this.crashAfterwards;
    if (happens) happen();
    if (crashes) this.kill();
  }

  /** Does what somebody else asks of the process; UNAVAILABLE when it dies over it. */
  serve<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.death;
    return new Promise((resolve, reject) => {
      const dead = (): void => reject(signal.reason);
      if (signal.aborted) return dead();
      signal.addEventListener('abort', dead, { once: true });
      const over = (): void => signal.removeEventListener('abort', dead);
      void this.gate().then(async () => {
        try {
          const result = await work();
          await this.gate();
          resolve(result);
        } catch (error) {
          await this.gate();
          reject(error);
        } finally {
          over();
        }
      });
    });
  }

  /** The clock as this process has it: nothing fires while it stands still, all that is due does when it goes on. */
  get time(): Clock {
    return {
      now: () => this.clock.now() + this.wallAhead,
      monotonic: () => this.clock.monotonic(),
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (signal?.aborted) return reject(signal.reason);
          const abort = (): void => {
            timer.cancel();
            reject(signal?.reason);
          };
          const timer = this.schedule(ms, () => {
            signal?.removeEventListener('abort', abort);
            resolve();
          });
          signal?.addEventListener('abort', abort, { once: true });
        }),
      schedule: (ms, run) => this.schedule(ms, run),
    };
  }

  private schedule(ms: number, run: () => void): { cancel(): void } {
    if (this.isDead) return { cancel: () => {} };
    let cancelled = false;
    const timer = this.clock.schedule(ms, () => {
      this.timers.delete(timer);
      if (!this.paused) return run();
      this.waking.push(() => {
        if (!cancelled) run();
      });
    });
    this.timers.add(timer);
    return {
      cancel: () => {
        cancelled = true;
        this.timers.delete(timer);
        timer.cancel();
      },
    };
  }
}
