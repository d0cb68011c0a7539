import { AegisError } from '@aegis/errors';

// Protobuf's wire, top level only: enough to lift one big bytes field out of a message, or put it in, without decoding it.
// https://protobuf.dev/programming-guides/encoding

const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;
const highestField = 2 ** 29 - 1;

export interface SplitMessage {
  /** The message without the field. A view when the field was first, last or absent; else a copy of the small rest. */
  head: Buffer;
  /** The field's bytes, a view into the message. Empty when absent; the last one when repeated, as protobuf has it. */
  body: Buffer;
}

const malformed = (detail: string): AegisError => new AegisError('REQUEST_MALFORMED', detail);

/** `once`: the field is a message. Said twice it would be two that become one, of which only the last is looked at here. */
const split = (message: Uint8Array, field: number, { once = false } = {}): SplitMessage => {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const rest: Buffer[] = [];
  let body = bytes.subarray(0, 0);
  let restStart = 0;
  let at = 0;
  let isThere = false;

  const readVarint = (): number => {
    // Kept as a double: lengths above 2^53 only need to be "more than there is", and tags are checked for range.
    let value = 0;
    for (let i = 0, scale = 1; i < 10; i += 1, scale *= 128) {
      const byte = bytes[at];
      if (byte === undefined) throw malformed('The message ends inside a number.');
      at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        // The tenth byte holds the one bit that is left of 64.
        if (i === 9 && byte > 1) break;
        return value;
      }
    }
    throw malformed('A number is longer than 64 bits.');
  };
  const skip = (length: number): void => {
    if (length > bytes.length - at) throw malformed('A field is longer than the message.');
    at += length;
  };

  while (at < bytes.length) {
    const fieldStart = at;
    const tag = readVarint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (number < 1 || number > highestField) throw malformed('A field number is out of range.');
    if (number === field && wireType !== lengthDelimited) throw malformed(`Field ${field} is not a bytes field.`);
    if (wireType === varint) readVarint();
    else if (wireType === fixed64) skip(8);
    else if (wireType === fixed32) skip(4);
    else if (wireType === lengthDelimited) {
      const length = readVarint();
      skip(length);
      if (number === field) {
        if (once && isThere) throw malformed(`Field ${field} is there twice.`);
        isThere = true;
        body = bytes.subarray(at - length, at);
        if (fieldStart > restStart) rest.push(bytes.subarray(restStart, fieldStart));
        restStart = at;
      }
    } else throw malformed('The message uses a wire type that proto3 does not have.');
  }
  if (bytes.length > restStart) rest.push(bytes.subarray(restStart));
  return { head: rest.length === 1 && rest[0] !== undefined ? rest[0] : Buffer.concat(rest), body };
};

const varintBytes = (value: number): number[] => {
  const bytes: number[] = [];
  let left = value;
  while (left > 127) {
    bytes.push((left % 128) | 0x80);
    left = Math.floor(left / 128);
  }
  bytes.push(left);
  return bytes;
};

/** What stands before the field's bytes on the wire: `prefix, body, head` is the whole message. */
const prefix = (field: number, length: number): Buffer =>
  Buffer.from([...varintBytes(field * 8 + lengthDelimited), ...varintBytes(length)]);

const join = (head: Uint8Array, field: number, body: Uint8Array): Buffer =>
  Buffer.concat(body.byteLength === 0 ? [head] : [head, prefix(field, body.byteLength), body]);

/** Lifts one bytes field out of a protobuf message and puts it back; malformed input is REQUEST_MALFORMED. */
export const rawField = { split, join, prefix } as const;
