import type { TaskRef } from '../domain/task.ts';
import { OpenUpload, type UploadRecord } from '../domain/upload.ts';
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
  const { task, replyId } = announcement;
  const lastSaved = await gateway.uploads.find(task.nodeId, task.taskId);
  const earlier = lastSaved?.replyId === replyId ? lastSaved : null;
  if (earlier?.verdict) return new OpenUpload(earlier, []);
  const record: UploadRecord = earlier ?? {
    session: gateway.random.ulid(gateway.clock.now()),
    task,
    replyId,
    head: announcement.head,
    partIds: announcement.partIds,
    runtimeSeconds: announcement.runtimeSeconds,
    announcedAt: gateway.clock.now(),
    traceparent: announcement.traceparent,
    verdict: null,
  };
  const missing = await gateway.aggregator.missingParts(task, record.partIds);
  await gateway.uploads.save(record);
  return keepAtHand(gateway, new OpenUpload(record, missing));
};
