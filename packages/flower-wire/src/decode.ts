// The one place where bytes from outside meet generated decoders.

import { AegisError } from '@aegis/errors';

interface Decoder<T> {
  decode(bytes: Uint8Array): T;
}

/** Decodes a whole message; anything the generated code throws (cut-off input, bad UTF-8, wrong types) is REQUEST_MALFORMED. */
export function decodeWith<T>(type: Decoder<T>, bytes: Uint8Array, name: string): T {
  try {
    return type.decode(bytes);
  } catch (cause) {
    throw new AegisError('REQUEST_MALFORMED', `Not a ${name} message.`, cause);
  }
}
