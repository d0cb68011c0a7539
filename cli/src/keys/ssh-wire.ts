/** Reads SSH wire values (RFC 4251 §5) from a buffer; `fail` makes the error for a buffer that ends too early. */
export class WireReader {
  readonly #buffer: Buffer;
  readonly #fail: (why: string) => Error;
  #at = 0;

  constructor(buffer: Buffer, fail: (why: string) => Error) {
    this.#buffer = buffer;
    this.#fail = fail;
  }

  uint32(): number {
    return this.#take(4).readUInt32BE(0);
  }

  bytes(): Buffer {
    return this.#take(this.uint32());
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  #take(length: number): Buffer {
    const piece = this.#buffer.subarray(this.#at, this.#at + length);
    if (piece.length !== length) throw this.#fail('the file is cut off');
    this.#at += length;
    return piece;
  }
}

/** Writes SSH wire values (RFC 4251 §5). */
export class WireWriter {
  readonly #pieces: Buffer[] = [];

  raw(bytes: Buffer): this {
    this.#pieces.push(bytes);
    return this;
  }

  uint32(value: number): this {
    const piece = Buffer.alloc(4);
    piece.writeUInt32BE(value);
    return this.raw(piece);
  }

  bytes(bytes: Buffer): this {
    return this.uint32(bytes.length).raw(bytes);
  }

  text(text: string): this {
    return this.bytes(Buffer.from(text, 'utf8'));
  }

  /** A non-negative integer given big-endian: no leading zeros, one zero byte where the sign bit would be set. */
  integer(digits: Buffer): this {
    const first = digits.findIndex((byte) => byte !== 0);
    const short = first < 0 ? Buffer.alloc(0) : digits.subarray(first);
    return this.bytes((short[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), short]) : short);
  }

  end(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  /** Everything so far, filled up to a multiple of `block` with the bytes 1, 2, 3 … */
  padded(block: number): Buffer {
    const content = this.end();
    const missing = (block - (content.length % block)) % block;
    return Buffer.concat([content, Buffer.from(Array.from({ length: missing }, (_, index) => index + 1))]);
  }
}
