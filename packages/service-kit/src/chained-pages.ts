import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Secret } from './secret.ts';

/** Where a history of pages stands. */
export interface ChainPosition {
  readonly page: number;
  readonly entries: number;
  /** Hash of the newest entry, hex. */
  readonly head: string;
}

export interface ChainedLine {
  /** From 1, over all pages. */
  readonly sequence: number;
  readonly hash: string;
  readonly text: string;
}

export interface ChainedPage {
  readonly position: ChainPosition;
  readonly epoch: number;
  readonly lines: readonly ChainedLine[];
}

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const header = z.strictObject({
  v: z.literal(1),
  page: z.number().int().min(1),
  epoch: z.number().int().min(1),
  /** Entries before this page. */
  after: z.number().int().min(0),
  entries: z.number().int().min(1),
  previous: hash,
  head: hash,
  code: hash,
});
type Header = z.infer<typeof header>;

/**
 * A history that shows when it was touched. A page is one header line, then one line for each entry.
 *
 *     hash of entry n = SHA-256(label, hash of entry n−1, line n)         the chain: nothing can be changed, moved or taken out
 *     code of a page  = HMAC-SHA-256(key, label, header without the code)  nobody without the key can write a page, or a chain anew
 */
export class ChainedPages {
  readonly #label: string;
  readonly #key: Secret;
  readonly #damaged: (what: string, cause?: unknown) => Error;

  /** `label` tells one kind of history from another; `damaged` makes what is thrown. */
  constructor(label: string, key: Secret, damaged: (what: string, cause?: unknown) => Error) {
    this.#label = label;
    this.#key = key;
    this.#damaged = damaged;
  }

  /** `lines`: one at least, none with a line break in it. `epoch`: from 1, whose tenure wrote it. */
  write(lines: readonly string[], epoch: number, after: ChainPosition): { page: Buffer; position: ChainPosition } {
    const head = lines.reduce((previous, line) => this.#chain(previous, line), after.head);
    const unsigned = {
      v: 1 as const,
      page: after.page + 1,
      epoch,
      after: after.entries,
      entries: lines.length,
      previous: after.head,
      head,
    };
    const text = [JSON.stringify({ ...unsigned, code: this.#codeOf(unsigned) }), ...lines].join('\n');
    const position = { page: unsigned.page, entries: after.entries + lines.length, head };
    return { page: Buffer.from(text, 'utf8'), position };
  }

  /** Throws unless these bytes are the page that follows `after`, written with this key. */
  read(content: Uint8Array, after: ChainPosition): ChainedPage {
    const number = after.page + 1;
    const { unsigned, lines } = this.#open(content, number);
    if (unsigned.page !== number || unsigned.after !== after.entries || unsigned.previous !== after.head)
      throw this.#damaged(`Page ${number} does not follow the page before it.`);
    return this.#linesOf(unsigned, lines);
  }

  /** The same of a page whose place is its own word: what it says of the pages before it is not looked at. */
  readAlone(content: Uint8Array, number: number): ChainedPage {
    const { unsigned, lines } = this.#open(content, number);
    if (unsigned.page !== number) throw this.#damaged(`Page ${number} says that it is page ${unsigned.page}.`);
    return this.#linesOf(unsigned, lines);
  }

  #open(content: Uint8Array, number: number): { unsigned: Omit<Header, 'code'>; lines: string[] } {
    const [first = '', ...lines] = this.#decode(content, number).split('\n');
    const { code, ...unsigned } = this.#headerOf(first, number);
    if (!timingSafeEqual(Buffer.from(code, 'hex'), Buffer.from(this.#codeOf(unsigned), 'hex')))
      throw this.#damaged(`Page ${number} was not written with this key, or was changed.`);
    return { unsigned, lines };
  }

  #linesOf(unsigned: Omit<Header, 'code'>, texts: readonly string[]): ChainedPage {
    const { page, after, epoch } = unsigned;
    if (unsigned.entries !== texts.length)
      throw this.#damaged(`Page ${page} has ${texts.length} entries and says ${unsigned.entries}.`);
    let head = unsigned.previous;
    const lines = texts.map((text, at): ChainedLine => {
      head = this.#chain(head, text);
      return { sequence: after + at + 1, hash: head, text };
    });
    // Nothing is read that was not proven to be ours before.
    if (head !== unsigned.head) throw this.#damaged(`The entries of page ${page} are not those it was written with.`);
    return { position: { page, entries: after + texts.length, head }, epoch, lines };
  }

  #chain(previous: string, line: string): string {
    return createHash('sha256')
      .update(`${this.#label} entry\n`)
      .update(previous)
      .update('\n')
      .update(line, 'utf8')
      .digest('hex');
  }

  #codeOf(unsigned: Omit<Header, 'code'>): string {
    return createHmac('sha256', this.#key.reveal())
      .update(`${this.#label} page\n`)
      .update(JSON.stringify(unsigned))
      .digest('hex');
  }

  #decode(content: Uint8Array, number: number): string {
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(content);
    } catch (cause) {
      throw this.#damaged(`Page ${number} is not text.`, cause);
    }
  }

  #headerOf(text: string, number: number): Header {
    try {
      return header.parse(JSON.parse(text));
    } catch (cause) {
      throw this.#damaged(`Page ${number} has no header.`, cause);
    }
  }
}
