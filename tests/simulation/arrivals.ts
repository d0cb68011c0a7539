import type { Life } from './life.ts';

/** What arrives at a process, in order; it hears nothing while it stands still. */
export class Arrivals<T> {
  private readonly life: Life;
  private readonly signal: AbortSignal;
  private readonly queue: { item: T; after: Promise<void> | undefined }[] = [];
  private wake: () => void = () => {};

  constructor(life: Life, signal: AbortSignal) {
    this.life = life;
    this.signal = signal;
    signal.addEventListener('abort', () => this.wake(), { once: true });
  }

  push(item: T, after?: Promise<void>): void {
    this.queue.push({ item, after });
    this.wake();
  }

  async *items(): AsyncGenerator<T, void, undefined> {
    while (!this.signal.aborted) {
      const next = this.queue.shift();
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
        continue;
      }
      if (next.after !== undefined) await next.after;
      await this.life.gate();
      yield next.item;
    }
  }
}
