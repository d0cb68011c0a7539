import { AegisError } from '@aegis/errors';
import type { Slice } from '../domain/run.ts';
import type { TaskRef } from '../domain/task.ts';
import type { Gateway } from './gateway.ts';

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
  #last: { readonly partId: string; readonly content: Promise<Buffer> } | null = null;

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
    for (const { partId, offset, length: wanted } of this.slices(from, length)) {
      const piece = (await this.#part(partId)).subarray(offset, offset + wanted);
      if (piece.byteLength < wanted)
        throw new AegisError('REPLY_MALFORMED', `A slice is longer than its part ${partId}.`);
      pieces.push(piece);
    }
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  }

  /** Where in the parts the range is. */
  slices(from: number, length: number): Slice[] {
    const end = from + length;
    if (!(from >= 0 && length >= 0 && end <= this.bytes))
      throw new AegisError(
        'REPLY_MALFORMED',
        `The file has ${this.bytes} bytes, and says that something ends at ${end}.`,
      );
    const found: Slice[] = [];
    for (let index = this.#indexOf(from); index < this.#placed.length; index += 1) {
      const { at, partId, offset, length: whole } = this.#placed[index] as Placed;
      const begin = Math.max(from - at, 0);
      const stop = Math.min(end - at, whole);
      if (at >= end) break;
      if (begin < stop) found.push({ partId, offset: offset + begin, length: stop - begin });
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

  #part(partId: string): Promise<Buffer> {
    if (this.#last?.partId !== partId)
      this.#last = { partId, content: this.#gateway.aggregator.readPart(this.#task, partId) };
    return this.#last.content;
  }
}
