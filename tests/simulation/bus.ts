import {
  type Bucket,
  type BucketName,
  type Bus,
  BusConflict,
  type BusEvent,
  buckets,
  type KeyedEntry,
  type WatchItem,
} from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import type { FakeClock } from '@aegis/testkit';
import { Arrivals } from './arrivals.ts';
import type { Chance } from './chance.ts';
import type { Life } from './life.ts';

/** How long a call waits for a bus that is away. */
const OUTAGE_WAIT_MS = 4_000;
const MARKER_MS = 3_600_000;

interface Row {
  /** Null: deleted; the marker stays for watchers. */
  readonly value: Buffer | null;
  readonly revision: number;
  readonly at: number;
}

export interface BusWrite {
  readonly by: Life;
  readonly bucket: BucketName;
  readonly key: string;
  readonly value: Buffer | null;
}

/** What NATS is to the suite: small durable values with compare-and-set, watches, events that may be lost. */
export class SimulatedNats {
  /** Grows with everything that happens here. */
  activity = 0;
  isUp = true;
  /** This many writes from now on happen, but their answers are lost. */
  inDoubt = 0;
  /** This many writes from now on do not happen. */
  refusing = 0;
  /** This many events from now on are lost. */
  dropping = 0;
  /** Longest time a call, an event or a change is under way. */
  slowMs = 0;
  onWrite: (write: BusWrite) => void = () => {};
  /** Tests that break the suite on purpose replace it. */
  compares = true;
  private readonly clock: FakeClock;
  private readonly chance: Chance;
  private readonly rows = new Map<BucketName, Map<string, Row>>();
  private readonly watchers = new Map<BucketName, Set<(key: string) => void>>();
  private readonly subscribers = new Map<string, Set<(message: unknown) => void>>();
  private readonly statusListeners = new Set<(ready: boolean) => void>();
  private sequence = 0;

  constructor(clock: FakeClock, chance: Chance) {
    this.clock = clock;
    this.chance = chance;
  }

  setUp(isUp: boolean): void {
    if (this.isUp === isUp) return;
    this.isUp = isUp;
    for (const listener of [...this.statusListeners]) listener(isUp);
  }

  table(bucket: BucketName): Map<string, Row> {
    const known = this.rows.get(bucket);
    if (known !== undefined) return known;
    const made = new Map<string, Row>();
    this.rows.set(bucket, made);
    return made;
  }

  read(bucket: BucketName, key: string): { value: Buffer; revision: number } | null {
    const row = this.table(bucket).get(key);
    if (row === undefined || row.value === null) return null;
    const ttl = buckets[bucket].ttlMs;
    if (ttl > 0 && this.clock.monotonic() - row.at >= ttl) {
      this.table(bucket).delete(key);
      return null;
    }
    return { value: row.value, revision: row.revision };
  }

  keys(bucket: BucketName): string[] {
    const now = this.clock.monotonic();
    for (const [key, row] of this.table(bucket)) {
      if (row.value === null && now - row.at >= MARKER_MS) this.table(bucket).delete(key);
    }
    return [...this.table(bucket).keys()].filter((key) => this.read(bucket, key) !== null);
  }

  /** `expected`: revision of what is there now, 0 = nothing; null = whatever; `never`: nothing was there, not even something deleted. */
  write(by: Life, bucket: BucketName, key: string, value: Buffer | null, expected: number | 'never' | null): number {
    const row = this.table(bucket).get(key);
    const isFree = row === undefined || (expected === 0 && row.value === null);
    const newest = isFree ? 0 : row.revision;
    if (expected !== null && (expected === 'never' ? 0 : expected) !== newest && this.compares)
      throw new BusConflict(bucket, key);
    this.sequence += 1;
    this.table(bucket).set(key, { value, revision: this.sequence, at: this.clock.monotonic() });
    this.onWrite({ by, bucket, key, value });
    for (const watcher of this.watchers.get(bucket) ?? []) watcher(key);
    return this.sequence;
  }

  /** A connection of one process. */
  connect(life: Life): Bus {
    return {
      bucket: async (name) => this.bucketFor(life, name),
      journal: () => Promise.reject(new Error('nobody in this world keeps a journal')),
      publish: (subject, message) => {
        this.activity += 1;
        if (life.isDead || !this.isUp) return;
        if (this.dropping > 0) {
          this.dropping -= 1;
          return;
        }
        for (const deliver of this.subscribers.get(subject) ?? []) deliver(message);
      },
      subscribe: async (subject, signal) => {
        await life.gate();
        const queue = new Arrivals<BusEvent<never>>(life, signal);
        const subscribers = this.subscribers.get(subject) ?? new Set();
        this.subscribers.set(subject, subscribers);
        const deliver = (message: unknown): void => {
          this.activity += 1;
          void this.delay().then(() => queue.push({ message: message as never }));
        };
        subscribers.add(deliver);
        const stop = (): void => void subscribers.delete(deliver);
        signal.addEventListener('abort', stop, { once: true });
        life.whenDead(stop);
        return queue.items();
      },
      appendRunLog: (_runId, _text) => this.call(life, false, () => undefined),
      readRunLog: async function* () {},
      ready: () => this.isUp,
      onStatus: (listener) => {
        const gated = (ready: boolean): void => void life.gate().then(() => listener(ready));
        this.statusListeners.add(gated);
        life.whenDead(() => this.statusListeners.delete(gated));
        return () => void this.statusListeners.delete(gated);
      },
      close: async () => {},
    };
  }

  private bucketFor(life: Life, name: BucketName): Bucket {
    const write = (key: string, value: Uint8Array | null, expected: number | 'never' | null): Promise<number> => {
      const kept = value === null ? null : Buffer.from(value);
      return this.call(life, true, () => this.write(life, name, key, kept, expected));
    };
    return {
      get: (key) => this.call(life, false, () => this.read(name, key)),
      create: (key, value) => write(key, value, 0),
      createOnce: (key, value) => write(key, value, 'never'),
      put: (key, value) => write(key, value, null),
      update: (key, value, revision) => write(key, value, revision),
      delete: async (key, revision) => void (await write(key, null, revision ?? null)),
      entries: (prefix) => this.entries(life, name, prefix),
      watch: (prefix, signal) => this.watch(life, name, prefix, signal),
    };
  }

  private async *entries(life: Life, name: BucketName, prefix: string | undefined): AsyncIterable<KeyedEntry> {
    const found = await this.call(life, false, () =>
      this.keys(name)
        .filter((key) => isBelow(key, prefix))
        .map((key) => ({ key, ...(this.read(name, key) as { value: Buffer; revision: number }) })),
    );
    yield* found;
  }

  private async *watch(
    life: Life,
    name: BucketName,
    prefix: string | undefined,
    signal: AbortSignal,
  ): AsyncIterable<WatchItem> {
    const delivered = new Map<string, number>();
    const queue = new Arrivals<string | null>(life, signal);
    for (const key of this.keys(name)) if (isBelow(key, prefix)) queue.push(key);
    queue.push(null);
    const watchers = this.watchers.get(name) ?? new Set();
    this.watchers.set(name, watchers);
    const changed = (key: string): void => {
      if (!isBelow(key, prefix)) return;
      this.activity += 1;
      // changes come in the order they were made, each a while after it was
      queue.push(key, this.delay());
    };
    watchers.add(changed);
    const stop = (): void => void watchers.delete(changed);
    life.whenDead(stop);
    let completed = false;
    try {
      for await (const key of queue.items()) {
        await this.whenUp();
        this.activity += 1;
        if (key === null) {
          completed = true;
          yield { type: 'complete' };
          continue;
        }
        const now = this.read(name, key);
        if (now === null) {
          const revision = this.table(name).get(key)?.revision ?? 0;
          if (delivered.delete(key)) yield { type: 'entry', key, value: null, revision, initial: !completed };
          continue;
        }
        // several changes of one key may have come as the last of them
        if (delivered.get(key) === now.revision) continue;
        delivered.set(key, now.revision);
        yield { type: 'entry', key, ...now, initial: !completed };
      }
    } finally {
      stop();
    }
  }

  /** One call of a process: there, done or not, and back. */
  private async call<T>(life: Life, isWrite: boolean, work: () => T): Promise<T> {
    this.activity += 1;
    await life.gate();
    await this.delay();
    if (!this.isUp && !(await this.upWithin(OUTAGE_WAIT_MS))) {
      await life.gate();
      throw new AegisError('STORE_UNAVAILABLE', 'The bus is away.');
    }
    // what was under way when its sender died may have arrived
    if (life.isDead && this.chance.maybe(0.5)) return life.gate() as Promise<T>;
    this.activity += 1;
    const outcome = isWrite ? this.writing(life, work) : { value: work() };
    await this.delay();
    await life.gate();
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }

  private writing<T>(life: Life, work: () => T): { value: T } | { error: unknown } {
    if (this.refusing > 0) {
      this.refusing -= 1;
      return { error: new AegisError('STORE_UNAVAILABLE', 'It did not happen.') };
    }
    let outcome: { value: T } | { error: unknown } = { error: new AegisError('STORE_UNAVAILABLE') };
    const happen = (): void => {
      try {
        outcome = { value: work() };
      } catch (error) {
        outcome = { error };
      }
    };
    if (life.isDead) happen();
    else life.write(happen);
    if (this.inDoubt > 0 && 'value' in outcome) {
      this.inDoubt -= 1;
      return { error: new AegisError('STORE_UNAVAILABLE', 'It happened, but nobody says so.') };
    }
    return outcome;
  }

  private delay(): Promise<void> {
    return this.slowMs === 0 ? Promise.resolve() : this.clock.sleep(this.chance.below(this.slowMs + 1));
  }

  private async whenUp(): Promise<void> {
    if (!this.isUp) await this.upWithin(Number.POSITIVE_INFINITY);
  }

  private upWithin(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const decide = (ready: boolean): void => {
        timer?.cancel();
        this.statusListeners.delete(listen);
        resolve(ready);
      };
      const listen = (ready: boolean): void => {
        if (ready) decide(true);
      };
      this.statusListeners.add(listen);
      const timer = Number.isFinite(ms) ? this.clock.schedule(ms, () => decide(false)) : null;
    });
  }
}

const isBelow = (key: string, prefix: string | undefined): boolean =>
  prefix === undefined || prefix === '' || key.startsWith(`${prefix.replace(/\.$/, '')}.`);
