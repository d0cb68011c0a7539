import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import type { ModelFormat, ModelInfo, ModelTensor } from '../../domain/model.ts';
import type { ModelStore } from '../contract.ts';
import { readNpy, readNpz, writeNpz } from './npy.ts';

/** npz only; the durable store has the other formats. */
export class MemoryModels implements ModelStore {
  private readonly models = new Map<string, { info: ModelInfo; body: Buffer }>();

  async import(format: ModelFormat, bytes: Uint8Array, maxBytes: number): Promise<ModelInfo> {
    if (format !== 'npz') throw new AegisError('MODEL_MALFORMED', 'The in-memory store reads .npz only.');
    const arrays = await readNpz(bytes);
    const unpacked = arrays.reduce((sum, { npy }) => sum + npy.length, 0);
    if (unpacked > maxBytes) throw new AegisError('MODEL_MALFORMED', `unpacked ${unpacked}, limit ${maxBytes}.`);
    return this.keep(arrays);
  }

  async remove(modelId: string): Promise<void> {
    this.models.delete(modelId);
  }

  async rename(modelId: string, names: readonly string[]): Promise<ModelInfo> {
    const { info, body } = this.find(modelId);
    return this.keep(info.tensors.map((tensor, i) => ({ name: names[i] ?? tensor.name, npy: arrayOf(body, tensor) })));
  }

  async get(modelId: string): Promise<ModelInfo | null> {
    return this.models.get(modelId)?.info ?? null;
  }

  async read(modelId: string, offset: number, length: number): Promise<Buffer> {
    return this.find(modelId).body.subarray(offset, offset + length);
  }

  async *export(modelId: string, format: ModelFormat): AsyncIterable<Buffer> {
    if (format !== 'npz') throw new AegisError('MODEL_MALFORMED', 'The in-memory store writes .npz only.');
    const { info, body } = this.find(modelId);
    yield writeNpz(info.tensors.map((tensor) => ({ name: tensor.name, npy: arrayOf(body, tensor) })));
  }

  keep(arrays: readonly { name: string; npy: Uint8Array }[]): ModelInfo {
    const hash = createHash('sha256');
    const tensors: ModelTensor[] = [];
    let offset = 0;
    for (const { name, npy } of arrays) {
      const { descr, shape } = readNpy(npy);
      hash.update(`${name}\0`).update(npy);
      tensors.push({ name, dtype: descr, shape, offset, length: npy.length });
      offset += npy.length;
    }
    const info: ModelInfo = { modelId: hash.digest('hex'), bytes: offset, tensors };
    this.models.set(info.modelId, { info, body: Buffer.concat(arrays.map((array) => array.npy)) });
    return info;
  }

  private find(modelId: string): { info: ModelInfo; body: Buffer } {
    const model = this.models.get(modelId);
    if (model === undefined) throw new AegisError('MODEL_NOT_FOUND', modelId);
    return model;
  }
}

const arrayOf = (body: Buffer, tensor: ModelTensor): Buffer =>
  body.subarray(tensor.offset, tensor.offset + tensor.length);
