import { GetBucketVersioningCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import type { Place } from './s3-upload.ts';

export interface ObjectVersion {
  /** Null: the object was removed then. */
  readonly version: string | null;
}

/** The newest writings of an object; null when the bucket is not versioned. */
export async function versionsOf(
  { client, bucket: Bucket }: Place,
  key: string,
  most: number,
): Promise<ObjectVersion[] | null> {
  const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket }));
  if (Status !== 'Enabled') return null;
  const page = await client.send(new ListObjectVersionsCommand({ Bucket, Prefix: key, MaxKeys: most }));
  const written = (page.Versions ?? []).map((one) => ({ ...one, version: one.VersionId ?? null }));
  const removed = (page.DeleteMarkers ?? []).map((one) => ({ ...one, version: null }));
  return [...written, ...removed]
    .filter(({ Key }) => Key === key)
    .sort((a, b) => Number(b.IsLatest ?? false) - Number(a.IsLatest ?? false) || timeOf(b) - timeOf(a))
    .map(({ version }) => ({ version }));
}

const timeOf = ({ LastModified }: { LastModified?: Date | undefined }): number => LastModified?.getTime() ?? 0;
