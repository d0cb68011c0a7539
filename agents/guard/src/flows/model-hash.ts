import { createHash } from 'node:crypto';
import type { ModelFacts, Task } from '../domain/task.ts';
import type { Guard } from './guard.ts';
import { readModel, readyModel } from './ready-model.ts';

const PIECE = 4 * 2 ** 20;

/** The identity of the model that this guard received, from its bytes, as the core defines it. '' for a task without one. */
export const modelHash = async (guard: Guard, task: Task): Promise<string> => {
  const { model } = task;
  if (model === null) return '';
  await readyModel(guard, task);
  const hash = createHash('sha256').update('aegis model v1');
  for (const { name, dtype, offset, length } of model.tensors) {
    for (const field of [Buffer.from(name), Buffer.from(dtype)]) hash.update(u64(field.byteLength)).update(field);
    hash.update(u64(length));
    for await (const piece of piecesOf(guard, model, offset, length)) hash.update(piece);
  }
  return hash.digest('hex');
};

const piecesOf = async function* (guard: Guard, model: ModelFacts, offset: number, length: number) {
  for (let at = 0; at < length; at += PIECE) {
    yield await readModel(guard, model, offset + at, Math.min(PIECE, length - at));
  }
};

const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
