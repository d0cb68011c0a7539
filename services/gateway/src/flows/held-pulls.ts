import type { Clock } from '@aegis/service-kit';

export type Wake = 'task' | 'ended' | 'timeout' | 'gone';

/** One pull that waits for work. */
export interface Hold {
  /** Nothing may be offered any more: superseded, ended, or the caller has gone. */
  readonly isOver: boolean;
  /** Waits for news, at most until `deadline` (of the monotonic clock). A wake-up between two waits is not lost. */
  wait(deadline: number): Promise<Wake>;
  close(): void;
}

interface State {
  over: boolean;
  news: boolean;
  resolve: ((wake: Wake) => void) | null;
}

/** The pulls waiting at this gateway, at most one per node. */
export class HeldPulls {
  readonly #clock: Clock;
  readonly #byNode = new Map<bigint, State>();
  #waiting = 0;
  #drained = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get isDrained(): boolean {
    return this.#drained;
  }

  /** A node has one loop: its second pull means that the first was given up. */
  open(nodeId: bigint, caller: AbortSignal): Hold {
    this.end(nodeId);
    const state: State = { over: this.#drained, news: false, resolve: null };
    this.#byNode.set(nodeId, state);
    return {
      get isOver() {
        return state.over || caller.aborted;
      },
      wait: (deadline) => this.#wait(state, caller, deadline),
      close: () => {
        state.over = true;
        if (this.#byNode.get(nodeId) === state) this.#byNode.delete(nodeId);
      },
    };
  }

  /** There is something new for the node. */
  wake(nodeId: bigint): void {
    const state = this.#byNode.get(nodeId);
    if (!state) return;
    state.news = true;
    state.resolve?.('task');
  }

  /** The node's pull, if any, ends empty-handed. */
  end(nodeId: bigint): void {
    const state = this.#byNode.get(nodeId);
    if (!state) return;
    state.over = true;
    state.resolve?.('ended');
  }

  /** All pulls end, and later ones end at once. */
  drain(): void {
    this.#drained = true;
    for (const nodeId of this.#byNode.keys()) this.end(nodeId);
  }

  async #wait(state: State, caller: AbortSignal, deadline: number): Promise<Wake> {
    if (caller.aborted) return 'gone';
    if (state.over) return 'ended';
    if (state.news) {
      state.news = false;
      return 'task';
    }
    const left = deadline - this.#clock.monotonic();
    if (left <= 0) return 'timeout';
    const { promise, resolve } = Promise.withResolvers<Wake>();
    const onGone = () => resolve('gone');
    const timer = this.#clock.schedule(left, () => resolve('timeout'));
    caller.addEventListener('abort', onGone, { once: true });
    state.resolve = resolve;
    this.#waiting += 1;
    try {
      return await promise;
    } finally {
      this.#waiting -= 1;
      state.resolve = null;
      state.news = false;
      timer.cancel();
      caller.removeEventListener('abort', onGone);
    }
  }
}
