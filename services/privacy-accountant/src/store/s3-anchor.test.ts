// The anchor as an object of a versioned bucket, and keys sealed by KMS; both emulated by moto.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openKeys, openS3, type S3Objects, s3Config } from '@aegis/cloud';
import { Secret } from '@aegis/service-kit';
import { startTestNats, temporaryFolder, withAws } from '@aegis/testkit';
import { CopyObjectCommand, DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { storesSuite } from './conformance.ts';
import { BEGINNING, type Position, StaleWrite } from './contract.ts';
import { openDurableStores } from './durable/index.ts';
import { ledgerKey } from './durable/keys.ts';
import { S3Anchor } from './durable/s3-anchor.ts';

const aws = withAws();
const name = 'ledger/anchor';
const bucketOf = async (bucket: string, more: object = {}): Promise<S3Objects> =>
  openS3(s3Config.parse({ bucket, endpoint: aws().endpoint, 'path-style': true, ...more }));

storesSuite('durable, with the anchor in S3', async () => {
  const nats = await startTestNats();
  const folder = await temporaryFolder('ledger-stores');
  const objects = await bucketOf(await aws().bucket({ versioned: true }));
  const open = async () => openDurableStores(await nats.connect(), folder.path, { anchor: { objects, name } });
  const [stores, other] = [await open(), await open()];
  const end = async () => {
    await Promise.all([stores.close(), other.close()]);
    objects.close();
    await nats.stop();
    await folder.remove();
  };
  return { subject: { stores, other }, end };
});

const key = new Secret('k'.repeat(64));
const at = (page: number): Position => ({ page, entries: 2 * page, head: page.toString(16).padStart(64, '0') });
const damaged = (words: string) => ({ code: 'PRIVACY_LEDGER_DAMAGED', message: expect.stringContaining(words) });

describe('the anchor in S3', () => {
  let bucket: string;
  let objects: S3Objects;
  let client: S3Client;
  const anchor = (one: Secret = key): S3Anchor => new S3Anchor(objects, name, one);
  beforeEach(async () => {
    bucket = await aws().bucket({ versioned: true });
    objects = await bucketOf(bucket);
    client = new S3Client({ endpoint: aws().endpoint, forcePathStyle: true });
  });
  afterEach(() => {
    aws().open();
    objects.close();
    client.destroy();
  });
  const putBack = async (writings: number): Promise<void> => {
    const versions = (await objects.versions(name, 100)) ?? [];
    const CopySource = `${bucket}/${name}?versionId=${versions[writings]?.version}`;
    await client.send(new CopyObjectCommand({ Bucket: bucket, Key: name, CopySource }));
  };

  it('lets nobody write who was overtaken', async () => {
    const [first, second] = [anchor(), anchor()];
    await first.write(at(1));
    expect(await second.read()).toEqual(at(1));
    await second.write(at(2));
    await expect(first.write(at(3))).rejects.toBeInstanceOf(StaleWrite);
    expect(await second.read()).toEqual(at(2));
    // who looks first knows what it replaces
    expect(await first.read()).toEqual(at(2));
    await first.write(at(3));
  });

  it('lets one of several write first', async () => {
    const settled = await Promise.allSettled([anchor().write(at(1)), anchor().write({ ...at(1), entries: 9 })]);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('is read while it is written, and goes on', async () => {
    const one = anchor();
    await one.write(at(1));
    await Promise.all([one.write(at(2)), one.read(), one.write(at(3)), one.read(), one.write(at(4))]);
    expect(await anchor().read()).toEqual(at(4));
  });

  it('is damage when it was put back, removed, changed, or is of another key', async () => {
    for (const page of [1, 2, 3]) await anchor().write(at(page));
    await putBack(1);
    await expect(anchor().read()).rejects.toMatchObject(damaged('vouches for 4 entries, and did for 6 before'));
    await expect(anchor().write(at(4))).rejects.toMatchObject(damaged('put back'));
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: name }));
    await expect(anchor().read()).rejects.toMatchObject(damaged('was removed'));
    await expect(anchor(new Secret('x'.repeat(64))).read()).rejects.toMatchObject(damaged('removed'));
    await objects.write(name, Buffer.from('{"history":0}'), null);
    await expect(anchor().read()).rejects.toMatchObject(damaged('was changed, or was written with another key'));
  });

  it('counts from what the operator accepted, whatever was there before', async () => {
    for (const page of [1, 2, 3]) await anchor().write(at(page));
    await anchor().replace(at(1));
    expect(await anchor().read()).toEqual(at(1));
    await putBack(1);
    await expect(anchor().read()).rejects.toMatchObject(damaged('put back'));
    await anchor().replace(null);
    expect(await anchor().read()).toBeNull();
    const one = anchor();
    expect(await one.read()).toBeNull();
    await one.write(at(1));
    expect(await anchor().read()).toEqual(at(1));
  });

  it('answers nothing while S3 is away, and nothing it may have written is taken for unwritten', async () => {
    const quick = await bucketOf(bucket, { 'timeout-seconds': 1 });
    const one = new S3Anchor(quick, name, key);
    await one.write(at(1));
    aws().shut();
    await expect(one.read()).rejects.toMatchObject({ code: 'OBJECTS_UNAVAILABLE' });
    await expect(one.write(at(2))).rejects.toMatchObject({ code: 'OBJECTS_UNAVAILABLE' });
    aws().open();
    await one.write(at(2));
    expect(await anchor().read()).toEqual(at(2));
    quick.close();
  });

  it('needs a bucket that keeps what was written before', async () => {
    const plain = await bucketOf(await aws().bucket());
    await expect(new S3Anchor(plain, name, key).check()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('versioning'),
    });
    plain.close();
  });
});

describe('keys of the ledger', () => {
  it('lie sealed where keys are given, those that lay there in plain as well, and open with the same ones alone', async () => {
    const nats = await startTestNats();
    await using folder = await temporaryFolder('sealed-keys');
    const bus = await nats.connect();
    try {
      const before = await openDurableStores(bus, folder.path);
      await before.history.append([{ at: 1, kind: 'opened', epoch: 1, writer: 'w' }], 1, BEGINNING);
      await before.close();
      const plain = (await readFile(join(folder.path, 'keys/ledger.key'), 'utf8')).trim();
      const kms = {
        'key-id': await aws().key(),
        endpoint: aws().endpoint,
        'timeout-seconds': 30,
        'former-key-ids': [],
      };
      for (let i = 0; i < 2; i += 1) {
        const { wrapper, close } = await openKeys({ kms });
        const stores = await openDurableStores(bus, folder.path, { keys: wrapper });
        // the same key: it verifies what was written before
        expect(await Array.fromAsync(stores.history.read(BEGINNING))).toHaveLength(1);
        await stores.close();
        close();
      }
      const files = (await readdir(join(folder.path, 'keys'))).sort();
      expect(files).toEqual(['accountant.wrapped', 'ledger.key.sealed', 'statement.pem.sealed']);
      for (const file of files) {
        const content = await readFile(join(folder.path, 'keys', file));
        expect(content.includes(plain)).toBe(false);
        expect(content.includes('PRIVATE KEY')).toBe(false);
      }
      await expect(openDurableStores(bus, folder.path)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining('ledger.key.sealed'),
      });
    } finally {
      await nats.stop();
    }
  });

  it('are not chosen between when a plain one says something else', async () => {
    await using folder = await temporaryFolder('sealed-keys');
    const file = join(folder.path, 'ledger.key');
    const kms = { 'key-id': await aws().key(), endpoint: aws().endpoint, 'timeout-seconds': 30, 'former-key-ids': [] };
    const { wrapper, close } = await openKeys({ kms });
    const { key: sealing } = await wrapper.generate('x');
    const made = await ledgerKey(file, sealing);
    expect((await ledgerKey(file, sealing)).reveal()).toBe(made.reveal());
    await writeFile(file, 'f'.repeat(64), { mode: 0o600 });
    await expect(ledgerKey(file, sealing)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('different keys'),
    });
    close();
  });
});
