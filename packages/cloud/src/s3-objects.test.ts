import { randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TemporaryFolder, temporaryFolder, withAws } from '@aegis/testkit';
import {
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { s3Config } from './config.ts';
import { ObjectConflict } from './objects.ts';
import { S3Objects } from './s3-objects.ts';

const aws = withAws();
const MIB = 2 ** 20;
let folder: TemporaryFolder;
let bucket: string;
let objects: S3Objects;
const client = () => new S3Client({ endpoint: aws().endpoint, forcePathStyle: true });
const open = (more: object = {}) =>
  new S3Objects(s3Config.parse({ bucket, prefix: 'a/', endpoint: aws().endpoint, 'path-style': true, ...more }));

beforeEach(async () => {
  folder = await temporaryFolder('objects');
  bucket = await aws().bucket();
  objects = open();
});
afterEach(async () => {
  aws().open();
  objects.close();
  await folder.remove();
});

const file = async (name: string, content: Buffer): Promise<string> => {
  const path = join(folder.path, name);
  await writeFile(path, content);
  return path;
};
const uploads = async (): Promise<number> =>
  ((await client().send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads ?? []).length;

describe('objects in S3', () => {
  it('are written by one of several who saw the same', async () => {
    expect(await objects.find('x')).toBeNull();
    const first = await objects.write('x', Buffer.from('1'), null);
    await expect(objects.write('x', Buffer.from('2'), null)).rejects.toBeInstanceOf(ObjectConflict);
    const second = await objects.write('x', Buffer.from('2'), first);
    await expect(objects.write('x', Buffer.from('3'), first)).rejects.toBeInstanceOf(ObjectConflict);
    expect(await objects.read('x')).toEqual({ content: Buffer.from('2'), tag: second, bytes: 1 });
    await objects.remove('x');
    await objects.remove('x');
    expect(await objects.read('x')).toBeNull();
    await expect(objects.write('x', Buffer.from('4'), second)).rejects.toThrow();
  });

  it.each([0, 1, 8 * MIB, 8 * MIB + 1, 17 * MIB + 7])('go in and come out as files of %i bytes', async (length) => {
    const content = randomBytes(length);
    expect(await objects.upload('m', await file('in', content))).toBe(true);
    expect(await objects.upload('m', await file('other', Buffer.from('another')))).toBe(false);
    expect(await objects.download('m', join(folder.path, 'out'))).toBe(true);
    expect((await readFile(join(folder.path, 'out'))).equals(content)).toBe(true);
    expect(await objects.download('nothing', join(folder.path, 'nothing'))).toBe(false);
    expect((await readdir(folder.path)).sort()).toEqual(['in', 'other', 'out']);
    expect(await uploads()).toBe(0);
  });

  it('keep to their prefix and come in order, page after page', async () => {
    for (const key of ['m/2', 'm/1', 'n/1']) await objects.write(key, Buffer.from('x'), null);
    await open({ prefix: 'b/' }).write('m/3', Buffer.from('x'), null);
    expect((await Array.fromAsync(objects.list('m/'))).map(({ key }) => key)).toEqual(['m/1', 'm/2']);
  });

  it('survive cut connections in the middle of an upload and of a download', async () => {
    const content = randomBytes(20 * MIB);
    const path = await file('in', content);
    aws().cutAfter(13 * MIB);
    expect(await objects.upload('m', path)).toBe(true);
    aws().cutAfter(500);
    expect(await objects.download('m', join(folder.path, 'out'))).toBe(true);
    expect((await readFile(join(folder.path, 'out'))).equals(content)).toBe(true);
  });

  it('leave nothing visible of an upload that broke off, and no file of a download that did', async () => {
    const quick = open({ 'timeout-seconds': 1 });
    const path = await file('in', randomBytes(20 * MIB));
    aws().shutAfter(7 * MIB);
    await expect(quick.upload('m', path)).rejects.toMatchObject({ code: 'OBJECTS_UNAVAILABLE' });
    aws().open();
    expect(await objects.find('m')).toBeNull();
    await objects.sweep('', Date.now());
    expect(await uploads()).toBe(0);
    await objects.upload('m', path);
    aws().shut();
    await expect(quick.download('m', join(folder.path, 'out'))).rejects.toMatchObject({ code: 'OBJECTS_UNAVAILABLE' });
    expect(await readdir(folder.path)).toEqual(['in']);
    quick.close();
  });

  it('sweep uploads that began before a moment, below one prefix', async () => {
    for (const Key of ['a/m/1', 'a/n/1'])
      await client().send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
    expect(await objects.sweep('m/', 0)).toBe(0);
    expect(await objects.sweep('m/', Date.now() + 60_000)).toBe(1);
    expect(await uploads()).toBe(1);
  });

  it('show what was written under a key before, where the bucket keeps it', async () => {
    expect(await objects.versions('x', 10)).toBeNull();
    objects = open({ bucket: await aws().bucket({ versioned: true }) });
    let tag: string | null = null;
    for (const content of ['1', '2', '3']) tag = await objects.write('x', Buffer.from(content), tag);
    await objects.write('x-other', Buffer.from('-'), null);
    await objects.remove('x');
    const [newest, ...older] = (await objects.versions('x', 10)) ?? [];
    expect(newest).toEqual({ version: null });
    const contents = await Promise.all(older.map(({ version }) => objects.read('x', version ?? '')));
    expect(contents.map((one) => String(one?.content))).toEqual(['3', '2', '1']);
  });

  it('are asked S3 to encrypt with a key when one is configured', async () => {
    const sealed = open({ 'sse-kms-key-id': 'alias/models' });
    expect(await sealed.upload('m', await file('in', randomBytes(9 * MIB)))).toBe(true);
    const head = await client().send(new HeadObjectCommand({ Bucket: bucket, Key: 'a/m' }));
    expect([head.ServerSideEncryption, head.SSEKMSKeyId]).toEqual(['aws:kms', 'alias/models']);
  });

  it('say what is wrong: no bucket is a matter of configuration, no answer is not', async () => {
    await expect(open({ bucket: 'nobodys-bucket' }).read('x')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('nobodys-bucket'),
    });
    aws().shut();
    await expect(open({ 'timeout-seconds': 1 }).read('x')).rejects.toMatchObject({
      code: 'OBJECTS_UNAVAILABLE',
      message: expect.stringContaining(`S3 (bucket ${bucket}) was to give x`),
    });
  });
});

describe('the configuration of S3', () => {
  it.each([
    [{ bucket: 'Not_A_Bucket' }, /bucket/],
    [{ bucket: 'ok-bucket', prefix: 'no-slash' }, /prefix/],
    [{ bucket: 'ok-bucket', endpoint: 'ftp://x' }, /endpoint/],
    [{ bucket: 'ok-bucket', 'access-key': 'x' }, /access-key/],
  ])('refuses %j', (config, words) => {
    expect(() => s3Config.parse(config)).toThrow(words);
  });
});
