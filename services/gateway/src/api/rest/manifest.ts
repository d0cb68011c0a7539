import { createHash } from 'node:crypto';
import type { Submit } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { fromEntry } from '@aegis/flower-wire';
import { z } from 'zod';
import type { Slice } from '../../domain/run.ts';
import type { ConfigEntry, Scalar } from '../../domain/task.ts';
import { nodeLimits } from '../node/limits.ts';
import { check } from './check.ts';
import type { ArrayFile } from './files/unfold.ts';
import * as schemas from './schemas.ts';

const fileHead = schemas.file.extend({ slices: z.array(z.unknown()).min(1).max(nodeLimits.slices) });
const head = schemas.manifest.extend({
  tensors: z.array(z.unknown()).max(nodeLimits.tensors).default([]),
  file: fileHead.optional(),
  encoded: schemas.encodings.optional(),
});
const tensorHead = schemas.tensor.extend({ slices: z.array(z.unknown()).min(1) });

/**
 * As its schema has it, read piece by piece up to the first that is wrong: asked about the whole, the schema finds all that is wrong, and
 * with a hundred thousand findings takes a second, or the stack.
 */
export const readManifest = (body: unknown): schemas.Manifest => {
  const { tensors, file, encoded, ...rest } = check(head, body, 'body');
  if (file !== undefined && tensors.length > 0)
    throw new AegisError('REQUEST_MALFORMED', 'An answer has tensors, or a file that they are in: not both.');
  if (encoded !== undefined && file === undefined)
    throw new AegisError('REQUEST_MALFORMED', 'Encoded tensors are in a file: there is none.');
  let slices = 0;
  return {
    ...rest,
    ...(file && {
      file: { ...file, slices: file.slices.map((slice, at) => check(schemas.slice, slice, `body.file.slices.${at}`)) },
    }),
    ...(encoded && { encoded: encodingsOf(encoded) }),
    tensors: tensors.map((tensor, index) => {
      const where = `body.tensors.${index}`;
      const { name, slices: inside } = check(tensorHead, tensor, where);
      slices += inside.length;
      if (slices > nodeLimits.slices) {
        throw new AegisError(
          'REQUEST_MALFORMED',
          `More than ${nodeLimits.slices} slices, which is the most that is taken.`,
        );
      }
      return { name, slices: inside.map((slice, at) => check(schemas.slice, slice, `${where}.slices.${at}`)) };
    }),
  };
};

const encodingsOf = (encoded: readonly unknown[]): schemas.Encoding[] => {
  const names = new Set<string>();
  return encoded.map((one, at) => {
    const encoding = check(schemas.encoding, one, `body.encoded.${at}`);
    if (names.has(encoding.name))
      throw new AegisError('REQUEST_MALFORMED', `body.encoded.${at}: this tensor is there before.`);
    names.add(encoding.name);
    return encoding;
  });
};

/** The same manifest, however it is written, is the same answer. */
export const manifestId = (manifest: schemas.Manifest): string =>
  createHash('sha256').update('aegis rest manifest\n').update(JSON.stringify(manifest)).digest('hex');

/** The one file that the arrays are in; null where each is a file of its own. */
export const fileOf = ({ file, encoded = [] }: schemas.Manifest): ArrayFile | null =>
  file === undefined ? null : { format: file.format, slices: file.slices.map(sliceOf), encoded };

const sliceOf = ({ sha256, offset, length }: z.infer<typeof schemas.slice>): Slice => ({
  partId: sha256,
  offset,
  length,
});

/** The answer as native clients say it: from there on both are one. */
export const submitOf = (taskId: string, weightedByKey: string, manifest: schemas.Manifest): Submit => {
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
