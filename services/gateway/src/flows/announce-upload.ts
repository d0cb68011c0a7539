import type { TaskRef } from '../domain/task.ts';
import { OpenUpload } from '../domain/upload.ts';
import type { Gateway } from './gateway.ts';
import { keepAtHand } from './keep-at-hand.ts';

export interface Announcement {
  readonly task: TaskRef;
  readonly replyId: string;
  /** Kept for the door, which reads the complete answer with it. */
  readonly head: Buffer;
  /** Distinct, in the order they are wanted. */
  readonly partIds: readonly string[];
  readonly runtimeSeconds: number;
  readonly traceparent: string;
}

/**
 * A node says which parts its answer has. What the aggregator lacks is wanted; the announcement outlives this process.
 * The same answer again, at whatever stage, is a client that did not hear us: it goes on where it was.
 */
export const announceUpload = async (gateway: Gateway, announcement: Announcement): Promise<OpenUpload> => {
  const { task, replyId, head, partIds, runtimeSeconds, traceparent } = announcement;
  const now = gateway.clock.now();
  const record = await gateway.uploads.announce({
    session: gateway.random.ulid(now),
    task,
    replyId,
    head,
    partIds,
    runtimeSeconds,
    announcedAt: now,
    traceparent,
    verdict: null,
  });
  if (record.verdict) return new OpenUpload(record, []);
  return keepAtHand(gateway, new OpenUpload(record, await gateway.aggregator.missingParts(task, record.partIds)));
};
