import type { Bus } from '@aegis/bus';
import type { Logger } from '@aegis/service-kit';

interface Owner {
  /** host:port; '' = it has none of its own. */
  readonly address: string;
  readonly epoch: number;
}

/** Runs that are over whose last owner is still asked: it remembers late answers. */
const REMEMBERED = 256;

/** Which aggregator has which run, as the leases say (bucket `leases`, written by the aggregators). Follows them until the signal. */
export class RunOwners {
  readonly #owners = new Map<string, Owner>();
  readonly #former = new Map<string, Owner>();
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Resolves when every lease there is now is known. */
  static async follow(bus: Bus, log: Logger, signal: AbortSignal): Promise<RunOwners> {
    const owners = new RunOwners();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const run = async (): Promise<void> => {
      for await (const item of (await bus.bucket('leases')).watch(undefined, signal)) {
        if (item.type === 'complete') resolve();
        else owners.hear(item.key, item.value);
      }
    };
    run().catch((error: unknown) => {
      reject(error);
      if (!signal.aborted) log.error({ err: error }, 'the leases are not followed any more');
    });
    await promise;
    return owners;
  }

  /** One lease as it is in the bucket; null = removed, the run is over. */
  hear(runId: string, lease: Uint8Array | null): void {
    const before = this.#owners.get(runId);
    const now = lease === null ? undefined : readOwner(lease);
    if (now === undefined) {
      this.#owners.delete(runId);
      if (before !== undefined) this.#remember(runId, before);
    } else {
      this.#owners.set(runId, now);
    }
    if (before?.address === now?.address && before?.epoch === now?.epoch) return;
    for (const changed of this.#waiting.get(runId) ?? []) changed();
  }

  /** Undefined when nobody is known to have, or to have had, the run. */
  addressOf(runId: bigint): string | undefined {
    const key = String(runId);
    return (this.#owners.get(key) ?? this.#former.get(key))?.address;
  }

  /** Addresses of all that own something. */
  addresses(): Set<string> {
    return new Set([...this.#owners.values()].map(({ address }) => address).filter((address) => address !== ''));
  }

  /** Calls `changed` when the run gets another owner, or its owner begins anew; returns the way to stop that. */
  onChange(runId: bigint, changed: () => void): () => void {
    const key = String(runId);
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting);
    waiting.add(changed);
    return () => {
      waiting.delete(changed);
      if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key);
    };
  }

  #remember(runId: string, owner: Owner): void {
    this.#former.set(runId, owner);
    for (const oldest of this.#former.keys()) {
      if (this.#former.size <= REMEMBERED) break;
      this.#former.delete(oldest);
    }
  }
}

/** Undefined for what this release does not understand: such a run is asked about everywhere. */
function readOwner(lease: Uint8Array): Owner | undefined {
  try {
    const { value } = JSON.parse(Buffer.from(lease).toString('utf8'));
    return typeof value.address === 'string' && typeof value.epoch === 'number'
      ? { address: value.address, epoch: value.epoch }
      : undefined;
  } catch {
    return undefined;
  }
}
