import { AegisError } from '@aegis/errors';
import type { UploadRecord } from '../domain/upload.ts';

// uint32 length ‖ JSON ‖ ids, 32 bytes each. Hex in JSON would more than double an announcement of 200,000 parts, past what one
// value of the bus can hold.

const ID_BYTES = 32;

interface Stored extends Omit<UploadRecord, 'task' | 'head' | 'partIds'> {
  readonly task: { taskId: string; runId: string; nodeId: string };
  readonly head: string;
}

export const encodeUpload = ({ partIds, head, task, ...rest }: UploadRecord): Buffer => {
  const json = Buffer.from(
    JSON.stringify({
      ...rest,
      task: { taskId: task.taskId, runId: task.runId.toString(), nodeId: task.nodeId.toString() },
      head: head.toString('base64'),
    } satisfies Stored),
  );
  const bytes = Buffer.alloc(4 + json.length + partIds.length * ID_BYTES);
  bytes.writeUInt32BE(json.length);
  json.copy(bytes, 4);
  for (const [index, id] of partIds.entries()) bytes.write(id, 4 + json.length + index * ID_BYTES, 'hex');
  return bytes;
};

export const decodeUpload = (bytes: Buffer): UploadRecord => {
  try {
    const idsAt = 4 + bytes.readUInt32BE(0);
    const { task, head, ...rest } = JSON.parse(bytes.toString('utf8', 4, idsAt)) as Stored;
    const partIds: string[] = [];
    for (let at = idsAt; at < bytes.length; at += ID_BYTES) partIds.push(bytes.toString('hex', at, at + ID_BYTES));
    return {
      ...rest,
      task: { taskId: task.taskId, runId: BigInt(task.runId), nodeId: BigInt(task.nodeId) },
      head: Buffer.from(head, 'base64'),
      partIds,
    };
  } catch (cause) {
    throw new AegisError('INTERNAL', 'An upload record cannot be read.', cause);
  }
};
