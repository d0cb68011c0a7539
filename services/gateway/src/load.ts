import { totalmem } from 'node:os';
import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Pressure } from './domain/admission.ts';

const EVERY_MS = 200;
/** Share of its time that the event loop works: from here on calls wait for each other, and below the other they do not any more. */
const [BUSY, RESTED] = [0.9, 0.7];
/** Of the memory there is. */
const FULL = 0.9;
/** How much the newest look counts: half a second of work is load, a single long turn is none. */
const WEIGHT = 0.4;

export interface LoadReading {
  /** Of the last moments, 0 to 1. */
  readonly utilization: number;
  /** Share of the heap, or of the memory of the process, whichever is fuller. */
  readonly memory: number;
}

/** What a reading says after it was `before`: who was refused under load shall not bring it back at once. */
export const pressureAt = ({ utilization, memory }: LoadReading, before: Pressure): Pressure => {
  if (memory >= FULL) return 'full';
  return utilization >= (before === 'calm' ? BUSY : RESTED) ? 'busy' : 'calm';
};

/** How this process fares, looked at five times a second: its event loop, its heap, and its memory where the system bounds it. */
export class Load {
  readonly #timer: NodeJS.Timeout;
  readonly #most = Math.min(process.constrainedMemory() || totalmem(), totalmem());
  #before = performance.eventLoopUtilization();
  #reading: LoadReading = { utilization: 0, memory: 0 };
  #pressure: Pressure = 'calm';

  constructor() {
    this.#timer = setInterval(() => this.#look(), EVERY_MS).unref();
  }

  pressure(): Pressure {
    return this.#pressure;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#before);
    this.#before = now;
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    this.#reading = {
      utilization: WEIGHT * utilization + (1 - WEIGHT) * this.#reading.utilization,
      memory: Math.max(used / limit, process.memoryUsage.rss() / this.#most),
    };
    this.#pressure = pressureAt(this.#reading, this.#pressure);
  }
}
