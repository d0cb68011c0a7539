import { BusConflict, type Journal } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import type { Secret } from '@aegis/service-kit';
import type { Entry } from '../domain/entry.ts';
import { type History, type Page, type Position, StaleWrite } from './contract.ts';
import { readPage, writePage } from './page-text.ts';

/** The history as records of a journal, one page each: a record's number is its page's. */
export const journalHistory = (journal: Journal, key: Secret): History => ({
  read: async function* (from: Position): AsyncGenerator<Page, void, undefined> {
    let position = from;
    for await (const { sequence, content } of journal.read(from.page)) {
      if (sequence !== position.page + 1)
        throw new AegisError(
          'PRIVACY_LEDGER_DAMAGED',
          `Page ${position.page + 1} is missing; the next one there is ${sequence}.`,
        );
      const page = readPage(content, position, key);
      position = page.position;
      yield page;
    }
  },
  append: async (entries: readonly Entry[], epoch: number, after: Position): Promise<Position> => {
    const { page, position } = writePage(entries, epoch, after, key);
    try {
      await journal.append(page, after.page);
      return position;
    } catch (error) {
      throw error instanceof BusConflict ? new StaleWrite('the privacy ledger', error) : error;
    }
  },
});
