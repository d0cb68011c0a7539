import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

const LONGEST_VARINT = 10;
const LONGEST_LENGTH = 5;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads protobuf as the reference implementations do: what they refuse (text that is no UTF-8, tags of no field or of more than 32 bits, ends of
 * groups that did not begin, endless numbers, fields that are longer than their message) throws. The library alone lets much of it pass, and the
 * code that is generated on it stops at the first end of a group: two readers of one message would see two messages.
 */
export class StrictReader extends BinaryReader {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    super(bytes);
    this.#bytes = bytes;
  }

  /** Number and wire type of the next field, as generated code takes them. */
  field(): number {
    const [field, type] = this.tag();
    return ((field << 3) | type) >>> 0;
  }

  /** Of what follows. A longer number would be cut to 32 bits, and stand for fewer bytes than it says. */
  length(): number {
    const start = this.pos;
    const length = this.uint32();
    const taken = this.pos - start;
    if (taken > LONGEST_LENGTH || (taken === LONGEST_LENGTH && (this.#bytes[this.pos - 1] ?? 0) > 0x07))
      throw new RangeError('a length has more than 31 bits');
    return length;
  }

  override skip(type: WireType, field?: number, depth?: number): Uint8Array {
    if (type === WireType.LengthDelimited) return this.bytes();
    const start = this.pos;
    const skipped = super.skip(type, field, depth);
    if (type === WireType.Varint && this.pos - start > LONGEST_VARINT)
      throw new RangeError('a number has more than 64 bits');
    return skipped;
  }

  override bytes(): Uint8Array {
    const length = this.length();
    const start = this.pos;
    if (length > this.len - start) throw new RangeError('a field is longer than there are bytes');
    this.pos = start + length;
    return this.#bytes.subarray(start, this.pos);
  }

  override string(): string {
    return decoder.decode(this.bytes());
  }

  /** Throws unless the message ends exactly here. */
  endsAt(end: number): void {
    if (this.pos !== end) throw new RangeError('a field is longer than its message');
  }
}

/** The reader that a nested message is read with, or a new one. */
export const strictly = (input: BinaryReader | Uint8Array): StrictReader => {
  if (input instanceof StrictReader) return input;
  if (input instanceof Uint8Array) return new StrictReader(input);
  throw new TypeError('generated code reads with a StrictReader');
};
