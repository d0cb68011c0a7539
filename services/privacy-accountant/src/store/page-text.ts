import { AegisError } from '@aegis/errors';
import { ChainedPages, type Secret } from '@aegis/service-kit';
import type { Entry } from '../domain/entry.ts';
import type { Page, Position } from './contract.ts';
import { readEntry, writeEntry } from './entry-text.ts';

const pagesOf = (key: Secret): ChainedPages =>
  new ChainedPages('aegis privacy ledger', key, (what, cause) => new AegisError('PRIVACY_LEDGER_DAMAGED', what, cause));

export const writePage = (
  entries: readonly Entry[],
  epoch: number,
  after: Position,
  key: Secret,
): { page: Buffer; position: Position } => pagesOf(key).write(entries.map(writeEntry), epoch, after);

/** PRIVACY_LEDGER_DAMAGED unless these bytes are the page that follows `after`, written with this key. */
export function readPage(content: Uint8Array, after: Position, key: Secret): Page {
  const { position, epoch, lines } = pagesOf(key).read(content, after);
  return { position, epoch, entries: lines.map((line) => ({ ...line, entry: readEntry(line.text) })) };
}
