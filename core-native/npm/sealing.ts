// Keys and sealed files.

import type { RawDataKey, RawKeyFile } from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';

let toDataKey: (raw: RawDataKey) => DataKey;
export let rawKey: (key: DataKey) => RawDataKey;

/** A key that seals objects. Its bytes stay in the core and are wiped when it is collected. */
export class DataKey {
  readonly #raw: RawDataKey;

  private constructor(raw: RawDataKey) {
    this.#raw = raw;
  }

  /** 32 bytes that a key service made; ARGUMENT unless there are as many. They are copied: the caller wipes its own. */
  static fromBytes(bytes: Uint8Array): DataKey {
    return new DataKey(calling(() => binding.DataKey.fromBytes(bytes)));
  }

  static {
    toDataKey = (raw) => new DataKey(raw);
    rawKey = (key) => calling(() => key.#raw); // anything but a DataKey is a TypeError here, so ARGUMENT
  }
}

/** The first key wrapper: a file of 32 random bytes that only its owner may read (mode 0600). */
export class KeyFile {
  readonly #raw: RawKeyFile;

  private constructor(raw: RawKeyFile) {
    this.#raw = raw;
  }

  /** KEY_FILE if it is missing (and not to be created), of the wrong size, or open to group or others. */
  static open(path: string, options: { create: boolean }): KeyFile {
    return new KeyFile(calling(() => binding.KeyFile.open(path, options.create)));
  }

  /** A new data key, and the form of it to keep. That one opens only with the same context. */
  generate(context: string): { key: DataKey; wrapped: Buffer } {
    return calling(() => {
      const raw = binding.DataKey.generate();
      return { key: toDataKey(raw), wrapped: this.#raw.wrap(raw, context) };
    });
  }

  /** SEAL_BROKEN if the bytes are damaged or of another key file or context. */
  unwrap(wrapped: Uint8Array, context: string): DataKey {
    return toDataKey(calling(() => this.#raw.unwrap(wrapped, context)));
  }
}

/** Seals bytes into a file that appears whole or not at all. */
export function sealFile(path: string, bytes: Uint8Array, key: DataKey, context: string): Promise<void> {
  return awaiting(() => binding.sealFile(path, bytes, rawKey(key), context));
}

/** What {@link sealFile} was given; SEAL_BROKEN if damaged, truncated, or of another key or context. */
export function openFile(path: string, key: DataKey, context: string): Promise<Buffer> {
  return awaiting(() => binding.openFile(path, rawKey(key), context));
}
