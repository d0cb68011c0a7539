import { AegisError } from '@aegis/errors';
import type { Clock, Logger } from '@aegis/service-kit';
import { type AuditEntry, audited, type KeptAuditEntry, type Noted } from '../domain/audit.ts';
import type { AuditStore } from '../store/contract.ts';

/** Of what nobody waits for: what comes beyond while the store is slow or away is counted, and the count is written down. */
const MOST_WAITING = 1_000;
const AGAIN_MS = 1_000;
/** Of one page: far below what a record may hold, whatever the entries say. */
const PAGE_ENTRIES = 500;

interface Waiting {
  readonly entry: AuditEntry;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
  /** Somebody's answer depends on it: it fails with the store instead of being tried again. */
  readonly awaited: boolean;
}

export interface TrailParts {
  /** null: no log is kept, and noting something is nothing. */
  readonly store: AuditStore | null;
  /** Of this gateway. */
  readonly id: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Trace id of the call under way; empty outside of one. */
  readonly traceId: () => string;
}

/**
 * What happened, on its way to the store: entries that come while a page is being written share the next one, so that a burst costs few
 * writes, and each caller waits for its own.
 */
export class AuditTrail {
  readonly #parts: TrailParts;
  readonly #waiting: Waiting[] = [];
  #lost = 0;
  #writing: Promise<void> | null = null;
  #ending = false;
  /** Told last, so that an outage is one line in the log. */
  #told = '';

  constructor(parts: TrailParts) {
    this.#parts = parts;
  }

  /** Durable when it resolves; STORE_UNAVAILABLE otherwise: what it is about was done, or was not, and is not known to be written down. */
  note(noted: Noted): Promise<void> {
    if (this.#parts.store === null) return Promise.resolve();
    return new Promise((done, failed) => this.#put({ entry: this.#entryOf(noted), done, failed, awaited: true }));
  }

  /** For what cannot wait: refusals, of which there may be a flood. */
  noteSoon(noted: Noted): void {
    if (this.#parts.store === null) return;
    if (this.#waiting.length >= MOST_WAITING) {
      this.#lost += 1;
      return;
    }
    this.#put({ entry: this.#entryOf(noted), done: () => {}, failed: () => {}, awaited: false });
  }

  /** All after number `after`; AUDIT_NOT_KEPT without a store, AUDIT_DAMAGED where the chain breaks. */
  read(after: number): AsyncIterable<KeptAuditEntry> {
    const { store } = this.#parts;
    if (store === null) throw new AegisError('AUDIT_NOT_KEPT');
    return store.read(after);
  }

  /** Writes what waits, if the store lets it. */
  async close(): Promise<void> {
    this.#ending = true;
    await this.#writing;
  }

  #entryOf({ event, actor, subject = '', detail = '' }: Noted): AuditEntry {
    const { clock, id, traceId } = this.#parts;
    return {
      ...{ event, at: clock.now(), by: id, actor: audited(actor), subject: audited(subject), detail: audited(detail) },
      trace: traceId(),
    };
  }

  #put(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    const { store, clock, log } = this.#parts;
    // what else happens in this turn of the event loop shares the page
    await Promise.resolve();
    try {
      while (store !== null && this.#waiting.length > 0) {
        const page = this.#waiting.splice(0, PAGE_ENTRIES);
        const lost = this.#lost;
        const tally = lost === 0 ? [] : [this.#entryOf({ event: 'entries-lost', actor: 'gateway', detail: `${lost}` })];
        try {
          await store.append([...page.map(({ entry }) => entry), ...tally]);
          this.#lost -= lost;
          this.#told = '';
          for (const { done } of page) done();
        } catch (error) {
          const { message } = AegisError.from(error);
          if (message !== this.#told)
            log.error({ err: error, entries: page.length }, 'the audit log cannot be written');
          this.#told = message;
          for (const { awaited, failed } of page) if (awaited) failed(error);
          const rest = page.filter(({ awaited }) => !awaited);
          if (this.#ending) return;
          this.#waiting.unshift(...rest);
          if (rest.length > 0) await new Promise<void>((go) => void clock.schedule(AGAIN_MS, go));
        }
      }
    } finally {
      // in the very turn that found nothing more: whoever heard that his entry is written may note the next at once
      this.#writing = null;
    }
  }
}
