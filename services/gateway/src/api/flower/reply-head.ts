import { AegisError } from '@aegis/errors';
import type { ReplyExpectation, ReplyHead } from '@aegis/flower-wire';

/** What reading the complete reply takes, besides its objects. Lasts with the announcement, whatever becomes of the task. */
export interface AnnouncedReply {
  readonly head: ReplyHead;
  readonly kind: ReplyExpectation['kind'];
  readonly layout: ReplyExpectation['layout'];
  readonly modelId: string;
  readonly secaggplus: ReplyExpectation['secaggplus'];
}

// 64-bit ids do not survive JSON numbers: they travel as {"$id": "123"}.
export const encodeAnnounced = (announced: AnnouncedReply): Buffer =>
  Buffer.from(
    JSON.stringify(announced, (_key, value) => (typeof value === 'bigint' ? { $id: value.toString() } : value)),
  );

export const decodeAnnounced = (bytes: Buffer): AnnouncedReply => {
  try {
    return JSON.parse(bytes.toString(), (_key, value) =>
      typeof value === 'object' && value !== null && typeof value.$id === 'string' ? BigInt(value.$id) : value,
    ) as AnnouncedReply;
  } catch (cause) {
    throw new AegisError('INTERNAL', 'An announcement cannot be read back.', cause);
  }
};
