import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import type { Secret } from '@aegis/service-kit';
import { z } from 'zod';
import type { Entry } from '../domain/entry.ts';
import type { KeptEntry, Page, Position } from './contract.ts';
import { readEntry, writeEntry } from './entry-text.ts';

/**
 * A page: one header line, then one line for each entry.
 *
 *     hash of entry n = SHA-256(label, hash of entry n−1, line n)         the chain: nothing can be changed, moved or taken out
 *     code of a page  = HMAC-SHA-256(key, label, header without the code)  nobody without the key can write a page, or a chain anew
 */
const header = z.strictObject({
  v: z.literal(1),
  page: z.number().int().min(1),
  epoch: z.number().int().min(1),
  /** Entries before this page. */
  after: z.number().int().min(0),
  entries: z.number().int().min(1),
  previous: z.string().regex(/^[0-9a-f]{64}$/),
  head: z.string().regex(/^[0-9a-f]{64}$/),
  code: z.string().regex(/^[0-9a-f]{64}$/),
});
type Header = z.infer<typeof header>;

export function writePage(
  entries: readonly Entry[],
  epoch: number,
  after: Position,
  key: Secret,
): { page: Buffer; position: Position } {
  const lines = entries.map(writeEntry);
  const head = lines.reduce(chain, after.head);
  const unsigned = {
    v: 1 as const,
    page: after.page + 1,
    epoch,
    after: after.entries,
    entries: lines.length,
    previous: after.head,
    head,
  };
  const text = [JSON.stringify({ ...unsigned, code: codeOf(unsigned, key) }), ...lines].join('\n');
  const position = { page: unsigned.page, entries: after.entries + lines.length, head };
  return { page: Buffer.from(text, 'utf8'), position };
}

/** PRIVACY_LEDGER_DAMAGED unless these bytes are the page that follows `after`, written with this key. */
export function readPage(content: Uint8Array, after: Position, key: Secret): Page {
  const number = after.page + 1;
  const [first = '', ...lines] = decode(content, number).split('\n');
  const { code, ...unsigned } = readHeader(first, number);
  if (!timingSafeEqual(Buffer.from(code, 'hex'), Buffer.from(codeOf(unsigned, key), 'hex')))
    throw damaged(`page ${number} was not written with this key, or was changed`);
  if (unsigned.page !== number || unsigned.after !== after.entries || unsigned.previous !== after.head)
    throw damaged(`page ${number} does not follow the page before it`);
  if (unsigned.entries !== lines.length)
    throw damaged(`page ${number} has ${lines.length} entries and says ${unsigned.entries}`);
  let head = after.head;
  const hashes = lines.map((text) => {
    head = chain(head, text);
    return head;
  });
  // Nothing is read that was not proven to be ours before.
  if (head !== unsigned.head) throw damaged(`the entries of page ${number} are not those it was written with`);
  const entries = lines.map((text, at): KeptEntry => {
    return { sequence: after.entries + at + 1, hash: hashes[at] as string, entry: readEntry(text), text };
  });
  return {
    position: { page: number, entries: after.entries + lines.length, head },
    epoch: unsigned.epoch,
    entries,
  };
}

const chain = (previous: string, line: string): string =>
  createHash('sha256')
    .update('aegis privacy ledger entry\n')
    .update(previous)
    .update('\n')
    .update(line, 'utf8')
    .digest('hex');

const codeOf = (unsigned: Omit<Header, 'code'>, key: Secret): string =>
  createHmac('sha256', key.reveal())
    .update('aegis privacy ledger page\n')
    .update(JSON.stringify(unsigned))
    .digest('hex');

function decode(content: Uint8Array, number: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch (cause) {
    throw new AegisError('PRIVACY_LEDGER_DAMAGED', `Page ${number} is not text.`, cause);
  }
}

function readHeader(text: string, number: number): Header {
  try {
    return header.parse(JSON.parse(text));
  } catch (cause) {
    throw new AegisError('PRIVACY_LEDGER_DAMAGED', `Page ${number} has no header.`, cause);
  }
}

const damaged = (what: string): AegisError =>
  new AegisError('PRIVACY_LEDGER_DAMAGED', `${what.charAt(0).toUpperCase()}${what.slice(1)}.`);
