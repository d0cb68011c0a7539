import { AegisError } from '@aegis/errors';
import type { Slice } from '../domain/run.ts';
import type { TaskRef } from '../domain/task.ts';
import type { Gateway } from './gateway.ts';

/**
 * Bytes of parts that are fetched and belong to no slice of the file. Files are made of whole parts; of many small pieces of large parts, each
 * byte of a header would cost a part.
 */
const MOST_BESIDE = 16 * 2 ** 20;

interface Placed extends Slice {
  /** Where it begins in the file. */
  readonly at: number;
}

/**
 * A file that a node sent in parts, all of them stored, read a piece at a time. Who reads in order has each part fetched once; nothing of it stays in
 * memory but the last one.
 */
export class FileOfParts {
  readonly bytes: number;
  readonly #gateway: Pick<Gateway, 'aggregator'>;
  readonly #task: TaskRef;
  readonly #placed: readonly Placed[];
  #last: { readonly partId: string; readonly content: Buffer } | null = null;
  #beside = 0;

  constructor(gateway: Pick<Gateway, 'aggregator'>, task: TaskRef, slices: readonly Slice[]) {
    this.#gateway = gateway;
    this.#task = task;
    let at = 0;
    this.#placed = slices.map((slice) => {
      const placed = { ...slice, at };
      at += slice.length;
      return placed;
    });
    this.bytes = at;
  }

  /** REPLY_MALFORMED for what is not in the file, or not in the parts that it is said to be made of. */
  async read(from: number, length: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (const { placed, begin, stop } of this.#within(from, length)) {
      const { partId, offset } = placed;
      const piece = (await this.#partOf(placed)).subarray(offset + begin, offset + stop);
      if (piece.byteLength < stop - begin)
        throw new AegisError('REPLY_MALFORMED', `A slice is longer than its part ${partId}.`);
      pieces.push(piece);
    }
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  }

  /** Where in the parts the range is. */
  slices(from: number, length: number): Slice[] {
    return this.#within(from, length).map(({ placed: { partId, offset }, begin, stop }) => ({
      partId,
      offset: offset + begin,
      length: stop - begin,
    }));
  }

  /** The slices that the range has bytes of: those from `begin` to `stop` of each. */
  #within(from: number, length: number): { placed: Placed; begin: number; stop: number }[] {
    const end = from + length;
    if (!(from >= 0 && length >= 0 && end <= this.bytes))
      throw new AegisError(
        'REPLY_MALFORMED',
        `The file has ${this.bytes} bytes, and says that something ends at ${end}.`,
      );
    const found = [];
    for (let index = this.#indexOf(from); index < this.#placed.length; index += 1) {
      const placed = this.#placed[index] as Placed;
      const { at, length: whole } = placed;
      const begin = Math.max(from - at, 0);
      const stop = Math.min(end - at, whole);
      if (at >= end) break;
      if (begin < stop) found.push({ placed, begin, stop });
    }
    return found;
  }

  /** Of the last slice that does not begin behind it. */
  #indexOf(position: number): number {
    let [low, high] = [0, this.#placed.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#placed[middle] as Placed).at <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async #partOf({ partId, length }: Placed): Promise<Buffer> {
    if (this.#last?.partId === partId) return this.#last.content;
    const content = await this.#gateway.aggregator.readPart(this.#task, partId);
    this.#beside += Math.max(content.byteLength - length, 0);
    if (this.#beside > MOST_BESIDE)
      throw new AegisError(
        'REPLY_MALFORMED',
        'The file is made of small pieces of its parts: cut it into whole parts.',
      );
    this.#last = { partId, content };
    return content;
  }
}
