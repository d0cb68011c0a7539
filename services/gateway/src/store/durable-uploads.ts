import { type Bucket, type Bus, BusConflict } from '@aegis/bus';
import type { UploadRecord, Verdict } from '../domain/upload.ts';
import type { UploadStore } from './contract.ts';
import { decodeUpload, encodeUpload } from './upload-codec.ts';

/** Push sessions in the bus: `<node id>.<task id>`, forgotten an hour after the last write. */
export class DurableUploadStore implements UploadStore {
  readonly #bucket: Bucket;
  /** Of records that were written or read a moment ago: settling them need not ask first. */
  readonly #revisions = new WeakMap<UploadRecord, number>();

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  static async open(bus: Bus): Promise<DurableUploadStore> {
    return new DurableUploadStore(await bus.bucket('uploads'));
  }

  async announce(upload: UploadRecord): Promise<UploadRecord> {
    const key = keyOf(upload.task.nodeId, upload.task.taskId);
    try {
      return this.#known(upload, await this.#bucket.create(key, encodeUpload(upload)));
    } catch (error) {
      if (!(error instanceof BusConflict)) throw error;
    }
    const entry = await this.#bucket.get(key);
    const earlier = entry && decodeUpload(entry.value);
    if (entry && earlier?.replyId === upload.replyId) return this.#known(earlier, entry.revision);
    return this.#known(upload, await this.#bucket.put(key, encodeUpload(upload)));
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

  async settle(upload: UploadRecord, verdict: Verdict): Promise<void> {
    const { nodeId, taskId } = upload.task;
    const key = keyOf(nodeId, taskId);
    const revision = this.#revisions.get(upload) ?? (await this.#revisionOf(upload, key));
    if (revision === null) return;
    try {
      await this.#bucket.update(key, encodeUpload({ ...upload, verdict }), revision);
    } catch (error) {
      // Another gateway settled the same upload, or another answer took its place: either way this note is not needed.
      if (!(error instanceof BusConflict)) throw error;
    }
  }

  async #revisionOf(upload: UploadRecord, key: string): Promise<number | null> {
    const entry = await this.#bucket.get(key);
    return entry && decodeUpload(entry.value).replyId === upload.replyId ? entry.revision : null;
  }

  #known(upload: UploadRecord, revision: number): UploadRecord {
    this.#revisions.set(upload, revision);
    return upload;
  }
}

const keyOf = (nodeId: bigint, taskId: string): string => `${nodeId}.${taskId}`;
