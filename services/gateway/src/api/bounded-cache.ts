/** Keeps what was used last, up to a total weight; the weight is the caller's word, usually bytes. */
export class BoundedCache<K, V> {
  readonly #capacity: number;
  readonly #entries = new Map<K, { value: V; weight: number }>();
  #weight = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get weight(): number {
    return this.#weight;
  }

  get(key: K): V | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** Something heavier than the whole cache is not kept. */
  set(key: K, value: V, weight: number): void {
    this.delete(key);
    if (weight > this.#capacity) return;
    this.#entries.set(key, { value, weight });
    this.#weight += weight;
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.#capacity) break;
      this.delete(oldest);
    }
  }

  delete(key: K): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#weight -= entry.weight;
  }
}

/** Many ask at once, one works: concurrent calls for a key share one promise. Failures are not remembered. */
export class SingleFlight<K, V> {
  readonly #flying = new Map<K, Promise<V>>();

  run(key: K, work: () => Promise<V>): Promise<V> {
    const flying = this.#flying.get(key);
    if (flying) return flying;
    const started = work().finally(() => this.#flying.delete(key));
    this.#flying.set(key, started);
    return started;
  }
}

/**
 * Finds again what the cache had to forget but somebody still holds, such as a slow reader its slice of a model: however
 * many read it, and however slowly, it is in memory once.
 */
export class StillHeld<K, V extends object> {
  readonly #refs = new Map<K, WeakRef<V>>();
  readonly #collected = new FinalizationRegistry<K>((key) => {
    if (this.#refs.get(key)?.deref() === undefined) this.#refs.delete(key);
  });

  get(key: K): V | undefined {
    return this.#refs.get(key)?.deref();
  }

  note(key: K, value: V): void {
    this.#refs.set(key, new WeakRef(value));
    this.#collected.register(value, key);
  }
}
