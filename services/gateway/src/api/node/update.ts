import { createHash } from 'node:crypto';
import type { ConfigEntry as WireEntry } from '@aegis/contracts/aegis/events/v1/task';
import type { Submit, Slice as WireSlice } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { toEntry } from '@aegis/flower-wire';
import type { Metric, Slice, Update } from '../../domain/run.ts';
import type { Scalar } from '../../domain/task.ts';

const HASH = /^[0-9a-f]{64}$/;

/** Distinct SHA-256 names, as announced. */
export const checkPartIds = (partIds: readonly string[]): void => {
  const wrong = partIds.find((id) => !HASH.test(id));
  if (wrong !== undefined)
    throw new AegisError('REQUEST_MALFORMED', `"${wrong.slice(0, 80)}" is not a SHA-256 in hex.`);
  if (new Set(partIds).size !== partIds.length) throw new AegisError('REQUEST_MALFORMED', 'A part is announced twice.');
};

/** The same parts in the same order are the same announcement, whenever and to whichever gateway it is made. */
export const announcementId = (partIds: readonly string[]): string => {
  const hash = createHash('sha256').update('aegis.node.v1 update\n');
  for (const id of partIds) hash.update(id, 'hex');
  return hash.digest('hex');
};

/** Every part an answer names, once. */
export const partsOf = ({ tensors, masked }: Submit): string[] =>
  partsOfSlices([...tensors.flatMap(({ slices }) => slices), ...masked]);

/** Every part that slices are of, once. */
export const partsOfSlices = (slices: readonly Pick<Slice, 'partId'>[]): string[] => [
  ...new Set(slices.map(({ partId }) => partId)),
];

/** The answer in our own terms. Throws REPLY_MALFORMED for what no answer can be. */
export const readUpdate = (submit: Submit, weightedByKey: string): Update => {
  if (submit.masked.length > 0 && submit.tensors.length + submit.metrics.length > 0) {
    throw new AegisError('REPLY_MALFORMED', 'A masked answer has tensors or metrics in the clear.');
  }
  const metrics = submit.metrics.map(readMetric);
  const weight = numberOf(metrics.find(({ key }) => key === weightedByKey)?.value);
  return {
    tensors: submit.tensors.map(({ name, slices }) => ({ name, slices: slices.map(readSlice) })),
    metrics: metrics.filter(({ key }) => key !== weightedByKey),
    weight,
    runtimeSeconds: submit.runtimeSeconds >= 0 && submit.runtimeSeconds < Infinity ? submit.runtimeSeconds : 0,
    ...(submit.masked.length > 0 && { masked: submit.masked.map(readSlice) }),
  };
};

const readMetric = (entry: WireEntry): Metric => {
  if (entry.value?.value === undefined) {
    throw new AegisError('REPLY_MALFORMED', `The metric "${entry.key.slice(0, 80)}" has no value.`);
  }
  return toEntry(entry);
};

const readSlice = ({ partId, offset, length }: WireSlice): Slice => ({
  partId,
  offset: readPlace(offset),
  length: readPlace(length),
});

const readPlace = (value: bigint): number => {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw new AegisError('REPLY_MALFORMED', `A slice is at or has ${value} bytes.`);
};

const numberOf = (value: Scalar | undefined): number | undefined => {
  if (value?.kind === 'real') return value.value;
  return value?.kind === 'integer' ? Number(value.value) : undefined;
};
