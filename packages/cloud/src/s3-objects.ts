import { AegisError } from '@aegis/errors';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { clientOptions, nameOf, notAnswered, statusOf } from './aws-client.ts';
import type { S3Config } from './config.ts';
import { ObjectConflict, type ObjectFacts, type Objects } from './objects.ts';
import { downloadFile } from './s3-download.ts';
import { type Place, sweepUploads, uploadFile } from './s3-upload.ts';
import { type ObjectVersion, versionsOf } from './s3-versions.ts';

/** Objects in one bucket of S3, below one prefix. */
export class S3Objects implements Objects {
  private readonly client: S3Client;
  private readonly config: S3Config;

  constructor(config: S3Config) {
    this.config = config;
    this.client = new S3Client({ ...clientOptions(config), forcePathStyle: config['path-style'] });
  }

  find(key: string): Promise<ObjectFacts | null> {
    return this.ask(`describe ${key}`, async () => {
      const found = await orMissing(this.client.send(new HeadObjectCommand(this.at(key))));
      return found === null ? null : { tag: found.ETag ?? '', bytes: found.ContentLength ?? 0 };
    });
  }

  read(key: string, version?: string): Promise<(ObjectFacts & { readonly content: Buffer }) | null> {
    return this.ask(`give ${key}`, async () => {
      const one = version === undefined ? {} : { VersionId: version };
      const found = await orMissing(this.client.send(new GetObjectCommand({ ...this.at(key), ...one })));
      if (found === null) return null;
      const content = Buffer.from((await found.Body?.transformToByteArray()) ?? []);
      return { tag: found.ETag ?? '', bytes: content.length, content };
    });
  }

  write(key: string, content: Uint8Array, replaces: string | null): Promise<string> {
    return this.ask(`take ${key}`, async () => {
      const condition = replaces === null ? { IfNoneMatch: '*' } : { IfMatch: replaces };
      try {
        const { ETag } = await this.client.send(
          new PutObjectCommand({ ...this.at(key), ...this.encryption(), ...condition, Body: content }),
        );
        return ETag ?? '';
      } catch (error) {
        if (isConflict(error)) throw new ObjectConflict(key);
        throw error;
      }
    });
  }

  upload(key: string, path: string): Promise<boolean> {
    return this.ask(`take ${key}`, async () => {
      if ((await orMissing(this.client.send(new HeadObjectCommand(this.at(key))))) !== null) return false;
      return uploadFile(this.place(), this.at(key), path, this.encryption());
    });
  }

  download(key: string, path: string): Promise<boolean> {
    return this.ask(`give ${key}`, async () => {
      const found = await orMissing(this.client.send(new HeadObjectCommand(this.at(key))));
      if (found === null) return false;
      await downloadFile(this.place(), this.at(key), found, path);
      return true;
    });
  }

  remove(key: string): Promise<void> {
    return this.ask(`remove ${key}`, async () => {
      await orMissing(this.client.send(new DeleteObjectCommand(this.at(key))));
    });
  }

  async *list(prefix: string): AsyncIterable<{ readonly key: string; readonly bytes: number }> {
    const { bucket: Bucket, prefix: mine } = this.config;
    for (let from: string | undefined; ; ) {
      const page = await this.ask(`list ${prefix}`, () =>
        this.client.send(
          new ListObjectsV2Command({ Bucket, Prefix: `${mine}${prefix}`, ...(from && { ContinuationToken: from }) }),
        ),
      );
      for (const { Key = '', Size = 0 } of page.Contents ?? []) yield { key: Key.slice(mine.length), bytes: Size };
      from = page.NextContinuationToken;
      if (from === undefined) return;
    }
  }

  /** Gives up the parts of uploads below `prefix` that began before `before` (Unix ms) and never ended. Returns how many there were. */
  sweep(prefix: string, before: number): Promise<number> {
    return this.ask(`sweep ${prefix}`, () => sweepUploads(this.place(), `${this.config.prefix}${prefix}`, before));
  }

  /** The newest writings of an object, the newest first, removals among them; null: the bucket keeps none. */
  versions(key: string, most: number): Promise<ObjectVersion[] | null> {
    return this.ask(`show the versions of ${key}`, () => versionsOf(this.place(), this.at(key).Key, most));
  }

  close(): void {
    this.client.destroy();
  }

  private at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.config.bucket, Key: `${this.config.prefix}${key}` };
  }

  private place(): Place {
    return { client: this.client, bucket: this.config.bucket };
  }

  private encryption(): { ServerSideEncryption?: 'aws:kms'; SSEKMSKeyId?: string } {
    const key = this.config['sse-kms-key-id'];
    return key === undefined ? {} : { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: key };
  }

  private async ask<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ObjectConflict || error instanceof AegisError || isOfDisk(error)) throw error;
      if (nameOf(error) === 'NoSuchBucket')
        throw new AegisError('CONFIG_INVALID', `s3.bucket: there is no bucket ${this.config.bucket}.`);
      throw notAnswered('OBJECTS_UNAVAILABLE', `S3 (bucket ${this.config.bucket}) was to ${what}`, error);
    }
  }
}

/** A full disk or a file that is gone is none of S3's doing. */
const isOfDisk = (error: unknown): boolean =>
  typeof (error as NodeJS.ErrnoException).syscall === 'string' && 'path' in (error as object);

const isConflict = (error: unknown): boolean => statusOf(error) === 412 || statusOf(error) === 409;

async function orMissing<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (['NotFound', 'NoSuchKey', 'NoSuchVersion'].includes(nameOf(error))) return null;
    throw error;
  }
}
