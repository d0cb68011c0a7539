import { type FileHandle, open } from 'node:fs/promises';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { statusOf } from './aws-client.ts';

export interface Place {
  readonly client: S3Client;
  readonly bucket: string;
}

const MIB = 2 ** 20;
/** S3 wants 5 MiB at least, and 10,000 parts at most. */
const PART_BYTES = 8 * MIB;
const MOST_PARTS = 10_000;
/** Parts on their way at a time; together they are what an upload takes of memory. */
export const AT_ONCE = 3;

type Address = { Bucket: string; Key: string };

/**
 * A file as a new object. Nobody sees anything of it before it is whole; an upload that was begun and not ended holds parts until `sweepUploads`. False:
 * there is an object already.
 */
export async function uploadFile(place: Place, at: Address, path: string, encryption: object): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size <= PART_BYTES) {
      const Body = await pieceOf(file, 0, size);
      return await created(place.client.send(new PutObjectCommand({ ...at, ...encryption, Body, IfNoneMatch: '*' })));
    }
    return await uploadParts(place, at, file, size, encryption);
  } finally {
    await file.close();
  }
}

async function uploadParts(
  { client }: Place,
  at: Address,
  file: FileHandle,
  size: number,
  encryption: object,
): Promise<boolean> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ ...at, ...encryption }));
  const one = { ...at, UploadId };
  try {
    const partBytes = Math.max(PART_BYTES, Math.ceil(size / MOST_PARTS / MIB) * MIB);
    const count = Math.ceil(size / partBytes);
    const tags = new Array<string | undefined>(count);
    await inParallel(count, async (i) => {
      const Body = await pieceOf(file, i * partBytes, Math.min(partBytes, size - i * partBytes));
      tags[i] = (await client.send(new UploadPartCommand({ ...one, PartNumber: i + 1, Body }))).ETag;
    });
    const Parts = tags.map((ETag, i) => ({ ETag, PartNumber: i + 1 }));
    const whole = await created(
      client.send(new CompleteMultipartUploadCommand({ ...one, MultipartUpload: { Parts }, IfNoneMatch: '*' })),
    );
    if (!whole) await client.send(new AbortMultipartUploadCommand(one)).catch(() => {});
    return whole;
  } catch (error) {
    // best effort: what stays is swept
    await client.send(new AbortMultipartUploadCommand(one)).catch(() => {});
    throw error;
  }
}

/** Runs `step` for 0 … count - 1, a few at a time, in order of their beginning. */
export async function inParallel(count: number, step: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < count && !failed) {
      const i = next++;
      await step(i).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
}

export async function sweepUploads({ client, bucket: Bucket }: Place, Prefix: string, before: number): Promise<number> {
  let swept = 0;
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix }));
  for (const { Key, UploadId, Initiated } of Uploads) {
    if (Initiated === undefined || Initiated.getTime() >= before) continue;
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
    swept += 1;
  }
  return swept;
}

async function pieceOf(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const piece = Buffer.allocUnsafe(length);
  let have = 0;
  while (have < length) {
    const { bytesRead } = await file.read(piece, have, length - have, at + have);
    if (bytesRead === 0) throw new Error('the file became shorter while it was uploaded');
    have += bytesRead;
  }
  return piece;
}

/** False: a condition says that there is one. Two that write at once may both be told to try again; what they bring is the same. */
async function created(answer: Promise<unknown>): Promise<boolean> {
  try {
    await answer;
    return true;
  } catch (error) {
    if (statusOf(error) === 412) return false;
    throw error;
  }
}
