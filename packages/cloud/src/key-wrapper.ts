import { type DataKey, KeyFile } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { coreCode } from './core-code.ts';

export interface Unwrapped {
  readonly key: DataKey;
  /** The form to keep from now on: the key that wrapped the old one is on its way out. Null: the one there is stays. */
  readonly renewed: Buffer | null;
}

/**
 * Whoever has it opens what the data keys sealed; it never hands out a plain key. `context` says what a data key is for and is bound to it.
 * KEY_NOT_OPENED for a wrapped key that is damaged, was moved to another context, or was wrapped by somebody else; KEYS_UNAVAILABLE when nobody answers.
 * Every implementation passes key-wrapper-conformance.ts.
 */
export interface KeyWrapper {
  /** A new data key, and the form of it to keep. */
  generate(context: string): Promise<{ key: DataKey; wrapped: Buffer }>;
  unwrap(wrapped: Uint8Array, context: string): Promise<Unwrapped>;
}

/** The default: a file of 32 random bytes, mode 0600. CONFIG_INVALID when it cannot be used. */
export function keyFileWrapper(path: string, options: { create: boolean }): KeyWrapper {
  const file = opened(path, options);
  return {
    generate: async (context) => file.generate(context),
    unwrap: async (wrapped, context) => {
      try {
        return { key: file.unwrap(wrapped, context), renewed: null };
      } catch (error) {
        if (coreCode(error) !== 'SEAL_BROKEN') throw error;
        throw new AegisError('KEY_NOT_OPENED', `That of ${context}, with ${path}.`, error);
      }
    },
  };
}

function opened(path: string, options: { create: boolean }): KeyFile {
  try {
    return KeyFile.open(path, options);
  } catch (error) {
    if (coreCode(error) !== 'KEY_FILE') throw error;
    const { reason } = (error as { detail: { reason?: string } }).detail;
    throw new AegisError('CONFIG_INVALID', `The key file ${path} cannot be used: ${reason}.`, error);
  }
}
