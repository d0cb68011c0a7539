import { open, rm } from 'node:fs/promises';
import { GetObjectCommand, type HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { inParallel, type Place } from './s3-upload.ts';

const PIECE_BYTES = 8 * 2 ** 20;
/** The SDK repeats requests; an answer that breaks off in the middle is ours to ask for again. */
const ATTEMPTS = 4;

/** The object that `found` describes into a new file, piece by piece; one that is replaced meanwhile fails. Durable when it resolves; no file otherwise. */
export async function downloadFile(
  { client }: Place,
  at: { Bucket: string; Key: string },
  found: HeadObjectCommandOutput,
  path: string,
): Promise<void> {
  const size = found.ContentLength ?? 0;
  const file = await open(path, 'wx', 0o600);
  try {
    await inParallel(Math.ceil(size / PIECE_BYTES), async (i) => {
      const first = i * PIECE_BYTES;
      const last = Math.min(first + PIECE_BYTES, size) - 1;
      const ask = new GetObjectCommand({ ...at, Range: `bytes=${first}-${last}`, IfMatch: found.ETag });
      for (let attempt = 1; ; attempt += 1) {
        try {
          const { Body } = await client.send(ask);
          const piece = (await Body?.transformToByteArray()) ?? new Uint8Array();
          if (piece.length !== last - first + 1) throw new Error('the answer is too short');
          await file.write(piece, 0, piece.length, first);
          return;
        } catch (error) {
          if (attempt >= ATTEMPTS || isOurs(error)) throw error;
        }
      }
    });
    await file.sync();
    await file.close();
  } catch (error) {
    await file.close().catch(() => {});
    await rm(path, { force: true });
    throw error;
  }
}

/** The disk's, or an answer of S3 itself: asking again changes nothing. */
const isOurs = (error: unknown): boolean =>
  (error as NodeJS.ErrnoException).syscall === 'write' || '$metadata' in (error as object);
