import { AegisError } from '@aegis/errors';
import { type NodeRecord, refuseRemoved } from './node.ts';

/** Age of a signed timestamp that is accepted, both ends excluded: Flower's own window. */
export const TIMESTAMP_AGE_SECONDS = { min: -5, max: 305 } as const;

const isoUtc = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:\+00:00|Z)$/;

/** Unix milliseconds, microseconds kept as the fraction. A time without a zone is refused: nobody knows what it means. */
export const parseTimestamp = (text: string): number => {
  const match = isoUtc.exec(text);
  const seconds = match ? Date.parse(`${match[1]}T${match[2]}Z`) : Number.NaN;
  if (!match || Number.isNaN(seconds)) {
    throw new AegisError('NODE_TIMESTAMP', 'It is not an ISO-8601 time in UTC.');
  }
  return seconds + Number(`0.${match[3] ?? '0'}`) * 1000;
};

/** Refuses a timestamp outside the window. `now` in Unix milliseconds. */
export const checkTimestamp = (text: string, now: number): void => {
  const age = (now - parseTimestamp(text)) / 1000;
  if (age > TIMESTAMP_AGE_SECONDS.min && age < TIMESTAMP_AGE_SECONDS.max) return;
  const where = age < 0 ? `${(-age).toFixed(0)} s ahead of` : `${age.toFixed(0)} s behind`;
  throw new AegisError('NODE_TIMESTAMP', `The node's clock is ${where} ours.`);
};

/** The rule of every call but registration: the key is known, its node was not removed, and it speaks for itself. */
export const actingNode = (record: NodeRecord | null, claimedId: bigint | null): NodeRecord => {
  if (record === null) throw new AegisError('NODE_KEY_UNKNOWN');
  refuseRemoved(record);
  if (claimedId !== null && claimedId !== record.nodeId) throw new AegisError('NODE_IDENTITY');
  return record;
};

/** Register and activate name the key twice: in the body and in the signed headers. */
export const sameKey = (inBody: Uint8Array, inHeaders: Uint8Array): void => {
  if (Buffer.compare(inBody, inHeaders) === 0) return;
  throw new AegisError('NODE_IDENTITY', 'The key in the request is not the key that signed it.');
};
