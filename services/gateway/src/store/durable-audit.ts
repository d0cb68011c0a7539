import { type Bus, BusConflict, type Journal } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import { type ChainedLine, ChainedPages, type ChainPosition, type Secret } from '@aegis/service-kit';
import { z } from 'zod';
import { AUDIT_EVENTS, type AuditEntry, type KeptAuditEntry } from '../domain/audit.ts';
import type { AuditStore } from './contract.ts';

const BEGINNING: ChainPosition = { page: 0, entries: 0, head: '0'.repeat(64) };
/** Gateways that write at the same moment take turns. */
const ATTEMPTS = 64;

const stored = z.strictObject({
  event: z.enum(AUDIT_EVENTS),
  at: z.number(),
  by: z.string(),
  actor: z.string(),
  subject: z.string(),
  detail: z.string(),
  trace: z.string(),
});

const damaged = (what: string, cause?: unknown): AegisError => new AegisError('AUDIT_DAMAGED', what, cause);

/** Pages of a journal in the bus, which lets nobody delete; each is chained to the one before and coded with the key of the gateways. */
export class DurableAuditStore implements AuditStore {
  readonly #journal: Journal;
  readonly #pages: ChainedPages;
  /** Of the newest page, as far as is known here. */
  #position: ChainPosition | null = null;

  private constructor(journal: Journal, key: Secret) {
    this.#journal = journal;
    this.#pages = new ChainedPages('aegis audit', key, damaged);
  }

  static async open(bus: Pick<Bus, 'journal'>, key: Secret): Promise<DurableAuditStore> {
    return new DurableAuditStore(await bus.journal('audit'), key);
  }

  async append(entries: readonly AuditEntry[]): Promise<void> {
    const lines = entries.map((entry) => JSON.stringify(entry satisfies z.infer<typeof stored>));
    for (let tries = 0; tries < ATTEMPTS; tries += 1) {
      const after = this.#position ?? (await this.#newest());
      this.#position = null;
      const { page, position } = this.#pages.write(lines, 1, after);
      try {
        await this.#journal.append(page, after.page);
        this.#position = position;
        return;
      } catch (error) {
        if (!(error instanceof BusConflict)) throw error;
      }
    }
    throw new AegisError('STORE_UNAVAILABLE', 'The audit log grows faster than this gateway can write to it.');
  }

  async *read(after: number): AsyncGenerator<KeptAuditEntry> {
    let position = BEGINNING;
    for await (const { sequence, content } of this.#journal.read(0)) {
      if (sequence !== position.page + 1) throw damaged(`Page ${position.page + 1} is missing.`);
      const page = this.#pages.read(content, position);
      for (const line of page.lines) if (line.sequence > after) yield kept(line);
      position = page.position;
    }
  }

  async #newest(): Promise<ChainPosition> {
    const newest = await this.#journal.newest();
    return newest === null ? BEGINNING : this.#pages.readAlone(newest.content, newest.sequence).position;
  }
}

const kept = ({ sequence, hash, text }: ChainedLine): KeptAuditEntry => {
  try {
    return { ...stored.parse(JSON.parse(text)), sequence, hash };
  } catch (cause) {
    throw damaged(`Entry ${sequence} is of a kind that this release does not know.`, cause);
  }
};
