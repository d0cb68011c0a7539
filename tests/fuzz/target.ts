import type { Form } from './mutate.ts';

/** What Flower, or whoever else knows the format, is asked about an input that we took. */
export interface Question {
  /** A name of peer.py. */
  readonly kind: string;
  readonly bytes: Buffer;
}

/** What became of an input that was taken; a refusal is thrown as an AegisError. */
export interface Taken {
  readonly question?: Question;
  /** Tells one way of taking from another: new ones are worth more inputs like it. */
  readonly note?: string;
}

export interface Door {
  try(input: Buffer): Promise<Taken> | Taken;
  /** Throws when the door does not serve an honest caller any more. Asked now and then. */
  honest?(): Promise<void>;
  close?(): Promise<void>;
}

export interface Target {
  readonly name: string;
  /** For people. */
  readonly door: string;
  readonly form: Form;
  /** Bytes at the front of an input that choose something, and are no part of what is decoded. */
  readonly keep?: number;
  readonly words?: readonly string[];
  /** Honest inputs. Those of corpus/NAME are added. */
  seeds(): Promise<Buffer[]> | Buffer[];
  open(): Promise<Door> | Door;
}
