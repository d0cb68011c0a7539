import { type Bucket, type Bus, BusConflict } from '@aegis/bus';
import type { UploadRecord, Verdict } from '../domain/upload.ts';
import type { UploadStore } from './contract.ts';
import { decodeUpload, encodeUpload } from './upload-codec.ts';

/** Push sessions in the bus: `<node id>.<task id>`, forgotten an hour after the last write. */
export class DurableUploadStore implements UploadStore {
  readonly #bucket: Bucket;

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  static async open(bus: Bus): Promise<DurableUploadStore> {
    return new DurableUploadStore(await bus.bucket('uploads'));
  }

  async save(upload: UploadRecord): Promise<void> {
    await this.#bucket.put(keyOf(upload.task.nodeId, upload.task.taskId), encodeUpload(upload));
  }

  async find(nodeId: bigint, taskId: string): Promise<UploadRecord | null> {
    const entry = await this.#bucket.get(keyOf(nodeId, taskId));
    return entry && decodeUpload(entry.value);
  }

  async ofNode(nodeId: bigint): Promise<UploadRecord[]> {
    const uploads: UploadRecord[] = [];
    for await (const { value } of this.#bucket.entries(nodeId.toString())) uploads.push(decodeUpload(value));
    return uploads;
  }

  async settle(nodeId: bigint, taskId: string, replyId: string, verdict: Verdict): Promise<void> {
    const key = keyOf(nodeId, taskId);
    const entry = await this.#bucket.get(key);
    if (!entry) return;
    const upload = decodeUpload(entry.value);
    if (upload.replyId !== replyId) return;
    try {
      await this.#bucket.update(key, encodeUpload({ ...upload, verdict }), entry.revision);
    } catch (error) {
      // Another gateway settled the same upload, or a newer answer took its place: either way this note is not needed.
      if (!(error instanceof BusConflict)) throw error;
    }
  }
}

const keyOf = (nodeId: bigint, taskId: string): string => `${nodeId}.${taskId}`;
