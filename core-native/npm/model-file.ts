// Models at rest.

import type { RawModelFile } from './binding.ts';
import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';
import { type IntakeLog, rawLog } from './intake-log.ts';
import { type DataKey, rawKey } from './sealing.ts';
import type { TensorSource, TensorSpec } from './tensors.ts';

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

export let rawModel: (model: ModelFile) => RawModelFile;

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
