import { rawField } from './raw-field.ts';
import { passedBytes } from './young-garbage.ts';

/** By convention of proto/aegis, a message's one large bytes field has this number. */
const bigField = 15;
// Below this the plain codec is as fast, and a small body does not keep its whole network buffer alive.
const worthwhile = 4096;
const nothing = Buffer.alloc(0);

export interface MessageCodec {
  encode(message: unknown): Buffer;
  decode(bytes: Buffer): unknown;
}

/** A generated codec that lets the message's big bytes field pass by as a view. */
export const messageCodec = (
  serialize: (message: unknown) => Buffer,
  deserialize: (bytes: Buffer) => unknown,
): MessageCodec => {
  const name = bigFieldName(deserialize);
  if (name === undefined) return { encode: serialize, decode: deserialize };
  return {
    encode: (message) => {
      const fields = message as Record<string, unknown>;
      const body = fields[name];
      if (!(body instanceof Uint8Array) || body.byteLength < worthwhile) return serialize(message);
      passedBytes(body.byteLength);
      return rawField.join(serialize({ ...fields, [name]: nothing }), bigField, body);
    },
    decode: (bytes) => {
      if (bytes.byteLength < worthwhile) return deserialize(bytes);
      passedBytes(bytes.byteLength);
      const { head, body } = rawField.split(bytes, bigField);
      const message = deserialize(head) as Record<string, unknown>;
      message[name] = body;
      return message;
    },
  };
};

// Asked of the generated codec itself, so there is no table to forget: decode a message of nothing but field 15.
const bigFieldName = (deserialize: (bytes: Buffer) => unknown): string | undefined => {
  const probe = 0x2a;
  try {
    const message = deserialize(Buffer.from([(bigField << 3) | 2, 1, probe])) as Record<string, unknown>;
    return Object.entries(message).find(
      ([, value]) => value instanceof Uint8Array && value.byteLength === 1 && value[0] === probe,
    )?.[0];
  } catch {
    return undefined; // field 15 is of another type
  }
};
