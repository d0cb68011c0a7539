/**
 * The typed face of the Aegis core.
 *
 * Every promise runs off the event loop and every rejection is a {@link CoreError}. Bytes handed in are referenced, not
 * copied: leave them unchanged until the promise settles.
 */

import type { RawDataKey, RawFold, RawIntakeLog, RawKeyFile, RawModelFile, RawNoised, RawPrivateFold } from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';

export type { CoreErrorCode } from './core-error.ts';
export { CoreError } from './core-error.ts';

// ---- hashing, signatures

export function sha256Hex(pieces: Uint8Array[]): Promise<string> {
  return awaiting(() => binding.sha256Hex(pieces));
}

/** For small inputs: about 1 ms a megabyte on the event loop. */
export function sha256HexSync(pieces: Uint8Array[]): string {
  return calling(() => binding.sha256HexSync(pieces));
}

/**
 * ECDSA with SHA-256 over P-256, P-384 or P-521 (the curve is the key's), DER signature. False is a wrong signature;
 * SIGNATURE_KEY is an unusable key.
 */
export function verifyEcdsa(publicKeyPem: Uint8Array, message: Uint8Array, signatureDer: Uint8Array): Promise<boolean> {
  return awaiting(() => binding.verifyEcdsa(publicKeyPem, message, signatureDer));
}

/** Like {@link verifyEcdsa}, on the event loop: 0.1 to 0.3 ms for P-384. */
export function verifyEcdsaSync(publicKeyPem: Uint8Array, message: Uint8Array, signatureDer: Uint8Array): boolean {
  return calling(() => binding.verifyEcdsaSync(publicKeyPem, message, signatureDer));
}

// ---- keys and sealing

let toDataKey: (raw: RawDataKey) => DataKey;
let rawKey: (key: DataKey) => RawDataKey;

/** A key that seals objects. Its bytes stay in the core and are wiped when it is collected. */
export class DataKey {
  readonly #raw: RawDataKey;

  private constructor(raw: RawDataKey) {
    this.#raw = raw;
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

// ---- intake log

export interface LogEntry {
  id: string;
  kind: string;
  length: number;
}

let rawLog: (log: IntakeLog) => RawIntakeLog;

/** Updates at rest between arrival and fold. One per (run, round, phase): a directory of segment files, one writer at a time. */
export class IntakeLog {
  readonly #raw: RawIntakeLog;
  /** Bytes cut off the end when the log was opened; none of them was ever acknowledged. */
  readonly tornBytes: number;

  private constructor(raw: RawIntakeLog) {
    this.#raw = raw;
    this.tornBytes = raw.tornBytes();
  }

  static {
    rawLog = (log) => calling(() => log.#raw);
  }

  /**
   * Opens or begins a log. Replays it and cuts off a torn tail, never an acknowledged record. LOG_CORRUPT (with file and
   * offset) if flushed bytes are damaged, SEAL_BROKEN if the key is another.
   *
   * `epoch` (0) counts its owners, one after another, of whom none can know that the one before has stopped: opening an epoch fixes what
   * counts of the earlier ones, whose appends are LOG_FENCED from then on. LOG_LOCKED if the same epoch is open elsewhere, LOG_FENCED
   * if a later one has begun.
   */
  static async open(
    directory: string,
    key: DataKey,
    { epoch = 0, segmentBytes }: { epoch?: number; segmentBytes?: number } = {},
  ): Promise<IntakeLog> {
    const raw = await awaiting(() => binding.IntakeLog.open(directory, rawKey(key), epoch, segmentBytes));
    return new IntakeLog(raw);
  }

  /**
   * Resolves once the record is durable. An id already durable resolves at once with `deduplicated` and appends nothing. With
   * `expectedSha256` (hexadecimal) pieces that hash to something else are HASH_MISMATCH and append nothing. After DISK_FULL
   * the log stays usable.
   */
  async append(
    kind: string,
    id: string,
    pieces: Uint8Array[],
    expectedSha256?: string,
  ): Promise<{ deduplicated: boolean }> {
    return { deduplicated: await awaiting(() => this.#raw.append(kind, id, pieces, expectedSha256)) };
  }

  has(id: string): boolean {
    return calling(() => this.#raw.has(id));
  }

  /** Durable records in append order. */
  entries(kind?: string): LogEntry[] {
    return calling(() => this.#raw.entries(kind));
  }

  /** At most `length` bytes from `offset`; to the record's end if no length is given. */
  read(id: string, offset?: number, length?: number): Promise<Buffer> {
    return awaiting(() => this.#raw.read(id, offset, length));
  }

  /** Resolves after pending appends, with the lock given back. */
  close(): Promise<void> {
    return awaiting(() => this.#raw.close());
  }
}

// ---- tensors and the fold

/**
 * `dtype` is numpy's descr — `<f2 <f4 <f8 |i1 <i2 <i4 <i8 |u1 <u2 <u4 <u8 |b1` — or `bfloat16`. An npy file of two-byte
 * records (`<V2`, numpy's way to write bfloat16) is read as bfloat16 only where the spec says so.
 */
export interface TensorSpec {
  name: string;
  dtype: string;
  shape: number[];
}

export interface PartSlice {
  part: string;
  offset: number;
  length: number;
}

/** The slices, joined, are one complete `.npy` file. `dtype: 'bfloat16'` says what `<V2` holds where there is no spec. */
export interface TensorSource {
  name: string;
  slices: PartSlice[];
  dtype?: string;
}

export interface NpyHeader {
  dtype: string;
  shape: number[];
  fortranOrder: boolean;
  dataOffset: number;
}

/** Reads the header at the front of `bytes`; the payload may be missing. */
export function readNpyHeader(bytes: Uint8Array): NpyHeader {
  return calling(() => binding.readNpyHeader(bytes));
}

export interface UpdateFacts {
  /** L2 norm over all elements of all tensors. */
  norm: number;
  elements: number;
}

/** The weighted mean of updates, folded one at a time; the result does not depend on their order, to the bit. */
export class Fold {
  readonly #raw: RawFold;

  private constructor(raw: RawFold) {
    this.#raw = raw;
  }

  /** Sums for the model's tensors, in this order: 16 bytes a parameter. */
  static create(specs: TensorSpec[]): Fold {
    return new Fold(calling(() => binding.Fold.create(specs)));
  }

  /** Validates an update and adds nothing. Names may come in any order. */
  check(log: IntakeLog, tensors: TensorSource[], limits?: { maxNorm?: number }): Promise<UpdateFacts> {
    return awaiting(() => this.#raw.check(rawLog(log), tensors, limits?.maxNorm));
  }

  /** Adds `weight` (above 0, at most 2^53) times the update. A failed add changes nothing. */
  add(log: IntakeLog, tensors: TensorSource[], weight: number): Promise<void> {
    return awaiting(() => this.#raw.add(rawLog(log), tensors, weight));
  }

  get count(): number {
    return calling(() => this.#raw.count());
  }

  get totalWeight(): number {
    return calling(() => this.#raw.totalWeight());
  }

  /** The weighted mean, each tensor in its own dtype, as a sealed model file. NOTHING_FOLDED if no update was added. */
  writeModel(path: string, key: DataKey): Promise<ModelInfo> {
    return awaiting(() => this.#raw.writeModel(path, rawKey(key)));
  }

  /** Gives the sums' memory back (the collector cannot see it), after calls under way; the fold refuses everything then. */
  close(): void {
    calling(() => this.#raw.close());
  }
}

/** What became of one update. `norm` is before clipping and not private: it stays on this side. */
export interface AddedPrivately {
  norm: number;
  clipped: boolean;
  /** The weight that was used. */
  weight: number;
}

export interface PrivateFinish {
  /** Standard deviation of the noise over the greatest contribution of one update, `clip · weightMax`. */
  noiseMultiplier: number;
  /** What the sum is divided by, fixed before the round: how many answered would tell who did. */
  denominator: number;
  /** A count that one update moves by at most 1, to leave with noise of its own: how many were clipped, for adaptive clipping. */
  bits?: { sum: number; noiseMultiplier: number };
  /** Of the sealed model file. One path is one release: name it after run, round and attempt. */
  path: string;
}

/** What left a private fold, and nothing more. */
export interface Noised {
  model: ModelInfo;
  /** The noised sum of bits, kept in `<path>.bits`. */
  bits?: number;
  /** Whether an earlier finish had written it. */
  found: boolean;
}

/**
 * Start model + (Σ clipped weight · clipped (update − start model) + noise) / denominator, for central differential privacy: the sum is exact, on a
 * grid of whole numbers, the noise an exact discrete Gaussian from secure bits, drawn once for a path.
 */
export class PrivateFold {
  readonly #raw: RawPrivateFold;

  private constructor(raw: RawPrivateFold) {
    this.#raw = raw;
  }

  /** `clip`: L2 bound of one update over all its float tensors; `weightMax` (1): of its weight. Keeps the model in memory, and 8 bytes an element. */
  static async open(model: ModelFile, { clip, weightMax = 1 }: { clip: number; weightMax?: number }): Promise<PrivateFold> {
    return new PrivateFold(await awaiting(() => binding.PrivateFold.open(rawModel(model), clip, weightMax)));
  }

  /** What an earlier {@link finish} left at a path, `null` if it did not come to its end. */
  static async found(path: string, key: DataKey): Promise<Noised | null> {
    const found = await awaiting(() => binding.PrivateFold.found(path, rawKey(key)));
    return found === null ? null : toNoised(found);
  }

  /**
   * Clips the update and adds it. A failed add changes nothing. VALUE_NOT_FINITE for NaN and infinity; TENSOR_NOT_NOISED for a tensor of integers
   * or booleans that is not as the start model has it.
   */
  add(log: IntakeLog, tensors: TensorSource[], weight: number): Promise<AddedPrivately> {
    return awaiting(() => this.#raw.add(rawLog(log), tensors, weight));
  }

  get count(): number {
    return calling(() => this.#raw.count());
  }

  /** Noises and writes, once: while there is a model at the path, that one is the answer to every further call. */
  async finish(how: PrivateFinish, key: DataKey): Promise<Noised> {
    return toNoised(await awaiting(() => this.#raw.finish({ ...how }, rawKey(key))));
  }

  /** As {@link Fold.close}. */
  close(): void {
    calling(() => this.#raw.close());
  }
}

const toNoised = ({ model, bits, found }: RawNoised): Noised =>
  bits === undefined ? { model, found } : { model, bits, found };

// ---- models

/** `offset` and `length` place the tensor's `.npy` file inside the model's body. */
export interface ModelTensor extends TensorSpec {
  offset: number;
  length: number;
}

export interface ModelInfo {
  /** Identity of names, types, shapes and values: the same model has the same one, whatever its origin. */
  sha256: string;
  /** Length of the body. */
  bytes: number;
  tensors: ModelTensor[];
}

export interface ImportLimits {
  /** Unpacked. */
  maxBytes?: number;
}

let rawModel: (model: ModelFile) => RawModelFile;

/** A sealed model file. */
export class ModelFile {
  readonly #raw: RawModelFile;
  readonly info: ModelInfo;

  private constructor(raw: RawModelFile) {
    this.#raw = raw;
    this.info = calling(() => raw.info());
  }

  static {
    rawModel = (model) => calling(() => model.#raw);
  }

  /** TENSOR_TOO_LARGE, and nothing written, when it unpacks to more than `maxBytes` (16 GiB) or to 200 times its size. */
  static fromNpz(npz: Uint8Array, path: string, key: DataKey, limits?: ImportLimits): Promise<ModelInfo> {
    return awaiting(() => binding.modelFromNpz(npz, path, rawKey(key), limits?.maxBytes));
  }

  static fromSafetensors(bytes: Uint8Array, path: string, key: DataKey, limits?: ImportLimits): Promise<ModelInfo> {
    return awaiting(() => binding.modelFromSafetensors(bytes, path, rawKey(key), limits?.maxBytes));
  }

  static fromTensors(
    tensors: { name: string; npy: Uint8Array; dtype?: string }[],
    path: string,
    key: DataKey,
  ): Promise<ModelInfo> {
    return awaiting(() => binding.modelFromTensors(tensors, path, rawKey(key)));
  }

  static fromLog(log: IntakeLog, tensors: TensorSource[], path: string, key: DataKey): Promise<ModelInfo> {
    return awaiting(() => binding.modelFromLog(rawLog(log), tensors, path, rawKey(key)));
  }

  static async open(path: string, key: DataKey): Promise<ModelFile> {
    return new ModelFile(await awaiting(() => binding.ModelFile.open(path, rawKey(key))));
  }

  /** A range of the body. */
  read(offset: number, length: number): Promise<Buffer> {
    return awaiting(() => this.#raw.read(offset, length));
  }

  /** Writes the model in the clear, as `numpy.load` reads it. */
  exportNpz(path: string): Promise<void> {
    return awaiting(() => this.#raw.exportNpz(path));
  }

  /** Writes the model in the clear, for everything that reads safetensors. */
  exportSafetensors(path: string): Promise<void> {
    return awaiting(() => this.#raw.exportSafetensors(path));
  }

  /** Reads under way still end; later ones are ARGUMENT. */
  close(): void {
    calling(() => this.#raw.close());
  }
}
