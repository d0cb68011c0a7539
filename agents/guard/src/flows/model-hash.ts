import { createHash } from 'node:crypto';
import type { ModelFacts } from '../domain/task.ts';

const PIECE = 4 * 2 ** 20;
type Read = (offset: number, length: number) => Promise<Buffer>;

/** The identity of the model that this guard received, from its bytes, as the core defines it. */
export const hashOf = async (model: ModelFacts, read: Read): Promise<string> => {
  const hash = createHash('sha256').update('aegis model v1');
  for (const { name, dtype, offset, length } of model.tensors) {
    for (const field of [Buffer.from(name), Buffer.from(dtype)]) hash.update(u64(field.byteLength)).update(field);
    hash.update(u64(length));
    for (let at = 0; at < length; at += PIECE) hash.update(await read(offset + at, Math.min(PIECE, length - at)));
  }
  return hash.digest('hex');
};

const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
