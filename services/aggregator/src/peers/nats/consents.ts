import type { Bus } from '@aegis/bus';
import type { Logger } from '@aegis/service-kit';
import { agrees, type Said } from '../../domain/consent.ts';
import type { ConsentView } from '../contract.ts';

interface Heard {
  readonly said: readonly Said[];
  readonly revision: number;
}

export interface NatsConsents extends ConsentView {
  close(): void;
}

/**
 * What nodes consent to (bucket `consents`, written by the gateways). Followed, so that a withdrawal reaches an open round at once; and read
 * again where a cohort is drawn, because what is followed may be behind.
 */
export async function natsConsents(bus: Bus, log: Logger): Promise<NatsConsents> {
  const bucket = await bus.bucket('consents');
  const closing = new AbortController();
  const listeners = new Set<() => void>();
  const nodes = new Map<string, Heard>();

  /** Never back to what was said before. */
  const hear = (key: string, value: Buffer | null, revision: number): boolean => {
    const before = nodes.get(key);
    if (before !== undefined && before.revision >= revision) return false;
    nodes.set(key, { said: value === null ? [] : readSaid(value), revision });
    return true;
  };
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const follow = async (): Promise<void> => {
    for await (const item of bucket.watch(undefined, closing.signal)) {
      if (item.type === 'entry' && hear(item.key, item.value, item.revision)) tell();
    }
  };
  follow().catch((error: unknown) => {
    if (!closing.signal.aborted)
      log.error({ err: error }, 'consents are not followed any more; they are read at each selection');
  });

  return {
    agreed: (terms, runId) =>
      new Set([...nodes].filter(([, { said }]) => agrees(said, terms, runId)).map(([nodeId]) => BigInt(nodeId))),
    refresh: async () => {
      const present = new Set<string>();
      let changed = false;
      for await (const { key, value, revision } of bucket.entries()) {
        present.add(key);
        changed = hear(key, value, revision) || changed;
      }
      // what is gone was given by nobody
      for (const key of nodes.keys()) if (!present.has(key)) changed = nodes.delete(key) || changed;
      if (changed) tell();
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => closing.abort(),
  };
}

/** What this release does not understand consents to nothing. */
function readSaid(bytes: Buffer): readonly Said[] {
  try {
    const { consents } = JSON.parse(bytes.toString('utf8')) as { consents: Partial<Said>[] };
    return consents.filter(
      (one): one is Said =>
        typeof one.to === 'string' && typeof one.version === 'string' && typeof one.given === 'boolean',
    );
  } catch {
    return [];
  }
}
