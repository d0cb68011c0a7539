import { createHash } from 'node:crypto';
import type { Submit } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { fromEntry } from '@aegis/flower-wire';
import type { ConfigEntry, Scalar } from '../../domain/task.ts';
import { nodeLimits } from '../node/limits.ts';
import type { Manifest } from './schemas.ts';

/** Before its schema is asked, which names everything that is wrong: of a body that has the shape of a manifest, whatever is in it. */
export const checkSlices = (body: unknown): void => {
  const { tensors } = (body ?? {}) as { tensors?: unknown };
  if (!Array.isArray(tensors)) return;
  const slices = tensors.reduce((sum, tensor) => sum + (Array.isArray(tensor?.slices) ? tensor.slices.length : 0), 0);
  if (slices > nodeLimits.slices) {
    throw new AegisError('REQUEST_MALFORMED', `${slices} slices, at most ${nodeLimits.slices} are taken.`);
  }
};

/** The same manifest, however it is written, is the same answer. */
export const manifestId = (manifest: Manifest): string =>
  createHash('sha256').update('aegis rest manifest\n').update(JSON.stringify(manifest)).digest('hex');

/** The answer as native clients say it: from there on both are one. */
export const submitOf = (taskId: string, weightedByKey: string, manifest: Manifest): Submit => {
  const { tensors, numExamples, metrics, runtimeSeconds } = manifest;
  if (Object.hasOwn(metrics, weightedByKey)) {
    throw new AegisError('REPLY_MALFORMED', `The metric "${weightedByKey}" is the weight: say it as numExamples.`);
  }
  const entries: ConfigEntry[] = Object.entries(metrics).map(([key, value]) => ({
    key,
    value: { kind: 'real', value },
  }));
  entries.push({ key: weightedByKey, value: numberOf(numExamples) });
  return {
    taskId,
    tensors: tensors.map(({ name, slices }) => ({
      name,
      slices: slices.map(({ sha256, offset, length }) => ({
        partId: sha256,
        offset: BigInt(offset),
        length: BigInt(length),
      })),
    })),
    metrics: entries.map(fromEntry),
    runtimeSeconds,
    masked: [],
  };
};

const numberOf = (value: number): Scalar =>
  Number.isSafeInteger(value) ? { kind: 'integer', value: BigInt(value) } : { kind: 'real', value };

type Plain = number | string | boolean;

/** Config and metrics as JSON: integers beyond 2^53 as decimal text, bytes as base64, what is no number as its name. */
export const plainOf = (entries: readonly ConfigEntry[]): Record<string, Plain | Plain[]> =>
  Object.fromEntries(
    entries.map(({ key, value: { value } }) => [key, Array.isArray(value) ? value.map(plain) : plain(value)]),
  );

const plain = (value: number | bigint | boolean | string | Buffer): Plain => {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  return Buffer.isBuffer(value) ? value.toString('base64') : value;
};
