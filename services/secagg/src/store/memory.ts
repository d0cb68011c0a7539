import { type Fact, nameOf } from '../domain/fact.ts';
import type { Opened, RoundRef } from '../domain/masking.ts';
import type { KeptRound, RoundStore } from './contract.ts';

interface Kept {
  round: KeptRound;
  readonly facts: Map<string, Fact>;
  readonly listeners: Set<() => void>;
}

/** For tests: what a process that is gone leaves behind. */
export class MemoryRoundStore implements RoundStore {
  readonly #rounds = new Map<string, Kept>();

  async open(opened: Opened): Promise<KeptRound> {
    const key = keyOf(opened.ref);
    const known = this.#rounds.get(key);
    if (known) return known.round;
    const round: KeptRound = { state: 'open', opened };
    this.#rounds.set(key, { round, facts: new Map(), listeners: new Set() });
    return round;
  }

  async find(ref: RoundRef): Promise<KeptRound | null> {
    return this.#rounds.get(keyOf(ref))?.round ?? null;
  }

  async openOf(runId: string): Promise<Opened[]> {
    return [...this.#rounds.values()].flatMap(({ round }) =>
      round.state === 'open' && round.opened.ref.runId === runId ? [round.opened] : [],
    );
  }

  async add(ref: RoundRef, fact: Fact): Promise<void> {
    const kept = this.#rounds.get(keyOf(ref));
    if (!kept || kept.facts.has(nameOf(fact)) || kept.facts.has('ended')) return;
    kept.facts.set(nameOf(fact), fact);
    for (const listener of kept.listeners) listener();
  }

  async *follow(ref: RoundRef, signal: AbortSignal): AsyncGenerator<Fact | 'caught-up'> {
    const kept = this.#rounds.get(keyOf(ref));
    const told = new Set<string>();
    let isCaughtUp = false;
    let wake = Promise.withResolvers<void>();
    const listener = (): void => wake.resolve();
    kept?.listeners.add(listener);
    signal.addEventListener('abort', listener, { once: true });
    try {
      while (!signal.aborted) {
        for (const [name, fact] of kept?.facts ?? []) {
          if (told.has(name)) continue;
          told.add(name);
          yield fact;
        }
        if (!isCaughtUp) yield 'caught-up';
        isCaughtUp = true;
        await wake.promise;
        wake = Promise.withResolvers();
      }
    } finally {
      kept?.listeners.delete(listener);
      signal.removeEventListener('abort', listener);
    }
  }

  async end(ref: RoundRef, end: Extract<Fact, { kind: 'ended' }>): Promise<void> {
    const unheardOf: KeptRound = { state: 'ended', code: end.code, reason: end.reason };
    const kept = this.#rounds.get(keyOf(ref)) ?? { round: unheardOf, facts: new Map(), listeners: new Set() };
    this.#rounds.set(keyOf(ref), kept);
    await this.add(ref, end);
    const stands = kept.facts.get('ended') as typeof end;
    for (const name of kept.facts.keys()) if (name !== 'ended') kept.facts.delete(name);
    kept.round = { state: 'ended', code: stands.code, reason: stands.reason };
  }

  /** How many facts are kept of a round. */
  sizeOf(ref: RoundRef): number {
    return this.#rounds.get(keyOf(ref))?.facts.size ?? 0;
  }
}

const keyOf = ({ runId, round }: RoundRef): string => `${runId}.${round}`;
