/** What is known of an object without reading it. */
export interface ObjectFacts {
  /** Changes with every writing; names what a conditional write replaces. */
  readonly tag: string;
  readonly bytes: number;
}

/** Somebody else wrote the object since. */
export class ObjectConflict extends Error {
  readonly key: string;

  constructor(key: string) {
    super(`${key} was written by someone else`);
    this.name = 'ObjectConflict';
    this.key = key;
  }
}

/**
 * Objects by key, each there whole or not at all, and read as it was last written. OBJECTS_UNAVAILABLE when nobody answers: a write may have happened
 * then, so whoever writes must be able to write again.
 */
export interface Objects {
  find(key: string): Promise<ObjectFacts | null>;
  /** A small object, whole. */
  read(key: string): Promise<(ObjectFacts & { readonly content: Buffer }) | null>;
  /** ObjectConflict unless the object is still the one of `replaces`; null: unless there is none. Returns the new tag. */
  write(key: string, content: Uint8Array, replaces: string | null): Promise<string>;
  /** A file of any length, in constant memory. False: there is an object of that key, and it stays. */
  upload(key: string, path: string): Promise<boolean>;
  /** The object into a new file, in constant memory and durable. False: there is none, and no file. */
  download(key: string, path: string): Promise<boolean>;
  /** Removing what is not there is fine. */
  remove(key: string): Promise<void>;
  /** Keys that begin with `prefix`, in order. */
  list(prefix: string): AsyncIterable<{ readonly key: string; readonly bytes: number }>;
  close(): void;
}
