import { type Bucket, type Bus, BusConflict } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import { type Fact, nameOf } from '../domain/fact.ts';
import type { Opened, RoundRef } from '../domain/masking.ts';
import type { KeptRound, RoundStore } from './contract.ts';

/** Deletions under way. */
const AT_ONCE = 64;

type End = Extract<Fact, { kind: 'ended' }>;

/**
 * In the bus. Bucket `secagg-rounds`: `<run>.<round>` → the round; bucket `secagg-facts`: `<run>.<round>.<name of the fact>` → the fact,
 * created and never updated, which is what lets one fact of a name stand whoever writes. The bucket's own order is the order of facts.
 */
export class DurableRoundStore implements RoundStore {
  readonly #rounds: Bucket;
  readonly #facts: Bucket;

  private constructor(rounds: Bucket, facts: Bucket) {
    this.#rounds = rounds;
    this.#facts = facts;
  }

  static async open(bus: Bus): Promise<DurableRoundStore> {
    return new DurableRoundStore(await bus.bucket('secagg-rounds'), await bus.bucket('secagg-facts'));
  }

  async open(opened: Opened): Promise<KeptRound> {
    const round: KeptRound = { state: 'open', opened };
    if (await created(this.#rounds, keyOf(opened.ref), round)) return round;
    const known = await this.find(opened.ref);
    if (known === null) throw new AegisError('STORE_UNAVAILABLE', 'A masked round is there and cannot be read.');
    return known;
  }

  async find(ref: RoundRef): Promise<KeptRound | null> {
    const entry = await this.#rounds.get(keyOf(ref));
    return entry && decoded<KeptRound>(entry.value);
  }

  async openOf(runId: string): Promise<Opened[]> {
    const found: Opened[] = [];
    for await (const { value } of this.#rounds.entries(runId)) {
      const round = decoded<KeptRound>(value);
      if (round.state === 'open') found.push(round.opened);
    }
    return found;
  }

  async add(ref: RoundRef, fact: Fact): Promise<void> {
    const key = `${keyOf(ref)}.${nameOf(fact)}`;
    if (!(await created(this.#facts, key, fact))) return;
    // Whoever ended the round meanwhile may have looked for what to forget before this was there.
    if (await this.#facts.get(`${keyOf(ref)}.ended`)) await this.#facts.delete(key);
  }

  async *follow(ref: RoundRef, signal: AbortSignal): AsyncGenerator<Fact | 'caught-up'> {
    for await (const item of this.#facts.watch(keyOf(ref), signal)) {
      if (item.type === 'complete') yield 'caught-up';
      else if (item.value !== null) yield decoded<Fact>(item.value);
    }
  }

  async end(ref: RoundRef, end: End): Promise<void> {
    const name = `${keyOf(ref)}.ended`;
    await created(this.#facts, name, end);
    const stands = decoded<End>((await this.#facts.get(name))?.value ?? encoded(end));
    const forgotten: string[] = [];
    for await (const { key } of this.#facts.entries(keyOf(ref))) if (key !== name) forgotten.push(key);
    while (forgotten.length > 0) {
      await Promise.all(forgotten.splice(0, AT_ONCE).map((key) => this.#facts.delete(key)));
    }
    const round: KeptRound = { state: 'ended', code: stands.code, reason: stands.reason };
    if (await created(this.#rounds, keyOf(ref), round)) return;
    const entry = await this.#rounds.get(keyOf(ref));
    if (!entry || decoded<KeptRound>(entry.value).state === 'ended') return;
    await this.#rounds.update(keyOf(ref), encoded(round), entry.revision).catch((error: unknown) => {
      if (!(error instanceof BusConflict)) throw error; // somebody else ended it as well
    });
  }
}

const keyOf = ({ runId, round }: RoundRef): string => `${runId}.${round}`;
const encoded = (value: object): Buffer => Buffer.from(JSON.stringify(value));

/** The first of its key stands. */
const created = async (bucket: Bucket, key: string, value: object): Promise<boolean> => {
  try {
    await bucket.create(key, encoded(value));
    return true;
  } catch (error) {
    if (!(error instanceof BusConflict)) throw error;
    return false;
  }
};

const decoded = <T>(value: Buffer): T => {
  try {
    return JSON.parse(value.toString()) as T;
  } catch (cause) {
    throw new AegisError('INTERNAL', 'A masked round in the store cannot be read.', cause);
  }
};
