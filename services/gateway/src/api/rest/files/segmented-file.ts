import type { ModelBlocks } from '../../model-blocks.ts';

/** A piece of the file: bytes of its own, or a range of the model. */
export type Segment = { readonly own: Buffer } | { readonly offset: number; readonly length: number };

type Placed = Segment & { readonly at: number; readonly length: number };

/** A file around the arrays of a model, put together while it is read. */
export class SegmentedFile {
  readonly bytes: number;
  readonly mediaType: string;
  /** Of the same model in the same format always the same (RFC 9110, 8.8.3). */
  readonly etag: string;
  readonly #models: ModelBlocks;
  readonly #modelId: string;
  readonly #segments: readonly Placed[];

  constructor(
    models: ModelBlocks,
    modelId: string,
    segments: readonly Segment[],
    { mediaType, suffix = '' }: { mediaType: string; suffix?: string },
  ) {
    this.#models = models;
    this.#modelId = modelId;
    this.mediaType = mediaType;
    this.etag = `"${modelId}${suffix}"`;
    let at = 0;
    this.#segments = segments.map((segment) => {
      const length = 'own' in segment ? segment.own.byteLength : segment.length;
      const placed = { ...segment, length, at };
      at += length;
      return placed;
    });
    this.bytes = at;
  }

  /** From the first byte to behind the last. */
  async *read(from: number, to: number): AsyncGenerator<Buffer> {
    for (const segment of this.#segments) {
      const start = Math.max(from - segment.at, 0);
      const end = Math.min(to - segment.at, segment.length);
      if (start >= end) continue;
      if ('own' in segment) yield segment.own.subarray(start, end);
      else {
        const pieces = this.#models.read(this.#modelId, segment.offset + start, end - start);
        for await (const { content } of pieces) yield content;
      }
    }
  }
}
