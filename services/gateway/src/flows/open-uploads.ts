import { type OpenUpload, uploadOfPart } from '../domain/upload.ts';

/**
 * The uploads this process has in hand, per node. A cache: whatever is missing is loaded from the store, with what the
 * aggregator still lacks, so that a restart or another gateway forgets none.
 */
export class OpenUploads {
  readonly #byNode = new Map<bigint, Map<string, OpenUpload>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  ofNode(nodeId: bigint): OpenUpload[] {
    return [...(this.#byNode.get(nodeId)?.values() ?? [])];
  }

  /**
   * Returns the one to go on with. All calls about one answer share it, whenever they came: each notes the parts it stored, and
   * whoever stores the last one must see that it was the last.
   */
  keep(upload: OpenUpload): OpenUpload {
    const { nodeId, taskId } = upload.record.task;
    const ofNode = this.#byNode.get(nodeId) ?? new Map<string, OpenUpload>();
    this.#byNode.set(nodeId, ofNode);
    const known = ofNode.get(taskId);
    if (known?.record.replyId === upload.record.replyId) {
      known.learn(upload);
      return known;
    }
    if (known === undefined) this.#size += 1;
    ofNode.set(taskId, upload);
    return upload;
  }

  /** Exactly this upload, or nothing: a later announcement for the same task may have taken its place. */
  drop(upload: OpenUpload): void {
    const { nodeId, taskId } = upload.record.task;
    const ofNode = this.#byNode.get(nodeId);
    if (ofNode?.get(taskId) !== upload) return;
    ofNode.delete(taskId);
    this.#size -= 1;
    if (ofNode.size === 0) this.#byNode.delete(nodeId);
  }

  /** Nobody waits for an answer to the task any more. */
  dropTask(nodeId: bigint, taskId: string): void {
    const upload = this.#byNode.get(nodeId)?.get(taskId);
    if (upload) this.drop(upload);
  }

  dropNode(nodeId: bigint): void {
    this.#size -= this.#byNode.get(nodeId)?.size ?? 0;
    this.#byNode.delete(nodeId);
  }

  /** The upload at hand that announces the part under this session; null = look into the store. */
  match(nodeId: bigint, part: { runId: bigint; partId: string; session: string }): OpenUpload | null {
    const uploads = this.ofNode(nodeId).filter(
      (upload) => part.session === '' || upload.record.session === part.session,
    );
    return uploads.some((upload) => upload.record.task.runId === part.runId && upload.announces(part.partId))
      ? uploadOfPart(uploads, part)
      : null;
  }
}
