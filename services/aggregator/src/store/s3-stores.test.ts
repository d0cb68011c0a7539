// The durable stores with models and apps in S3 and keys of KMS, both emulated by moto: every aggregator has a volume of its own.
import { randomBytes } from 'node:crypto';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openKeys, openS3, s3Config } from '@aegis/cloud';
import { systemRandom } from '@aegis/service-kit';
import { startTestNats, temporaryFolder, withAws } from '@aegis/testkit';
import { CopyObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { storesSuite } from './conformance.ts';
import { hashOf } from './conformance-updates.ts';
import { openDurableStores } from './durable/index.ts';
import { writeNpy, writeNpz } from './memory/npy.ts';
import { privateFoldSuite } from './private-conformance.ts';

const aws = withAws();

const world = async () => {
  const nats = await startTestNats();
  const folder = await temporaryFolder('s3-stores');
  const bus = await nats.connect();
  const place = { bucket: await aws().bucket(), prefix: 'aegis/', endpoint: aws().endpoint, 'path-style': true };
  const keyId = await aws().key();
  const ends: (() => Promise<void>)[] = [];
  const aggregator = async (name: string, options: { cacheBytes?: number; key?: string; patience?: number } = {}) => {
    const config = s3Config.parse({ ...place, 'timeout-seconds': options.patience ?? 30 });
    const objects = await openS3(config);
    const kms = {
      'key-id': options.key ?? keyId,
      endpoint: aws().endpoint,
      'timeout-seconds': 30,
      'former-key-ids': [],
    };
    const { wrapper } = await openKeys({ kms });
    const shared = { objects, cacheBytes: options.cacheBytes ?? 2 ** 30 };
    const stores = await openDurableStores(bus, join(folder.path, name), systemRandom, { keys: wrapper, shared });
    ends.push(() => stores.close());
    return { stores, objects, state: join(folder.path, name) };
  };
  const end = async () => {
    aws().open();
    for (const one of ends) await one();
    await nats.stop();
    await folder.remove();
  };
  return { aggregator, end, bucket: place.bucket, folder: folder.path, bus };
};

const conformant = async () => {
  const { aggregator, end } = await world();
  return { subject: (await aggregator('a')).stores, end };
};
storesSuite('S3 and KMS', conformant);
privateFoldSuite('S3 and KMS', conformant);

const marker = 'a secret that must not lie about';
const npz = (values: number[]) =>
  writeNpz([{ name: marker, npy: writeNpy({ descr: '<f4', shape: [values.length], values }) }]);

describe('models in S3', () => {
  it('that one aggregator stored every other reads, whatever becomes of the first one’s volume', async () => {
    const { aggregator, end } = await world();
    try {
      const [first, second] = [await aggregator('a'), await aggregator('b')];
      expect(second.stores.volume).not.toBe(first.stores.volume);
      const info = await first.stores.models.import('npz', npz([1, 2]), 1_000_000);
      const fab = Buffer.from(marker);
      const app = { hash: hashOf(fab), digest: 'd', appId: 'a/b', version: '1', config: [], detectedDialect: null };
      await first.stores.apps.put(app, fab);
      await rm(first.state, { recursive: true });
      expect(await second.stores.models.get(info.modelId)).toEqual(info);
      expect(await second.stores.apps.fab(app.hash)).toEqual(fab);
      const { offset, length } = info.tensors[0] ?? { offset: 0, length: 0 };
      expect((await second.stores.models.read(info.modelId, offset, length)).length).toBe(length);
      const keys = (await Array.fromAsync(second.objects.list(''))).map(({ key }) => key);
      expect(keys).toEqual([
        `apps/${app.hash}.fab`,
        'keys/apps.wrapped',
        'keys/models.wrapped',
        `models/${info.modelId}.model`,
      ]);
      for (const key of keys) expect(String((await second.objects.read(key))?.content)).not.toContain(marker);
    } finally {
      await end();
    }
  });

  it('are gone for all when one removes them', async () => {
    const { aggregator, end } = await world();
    try {
      const [first, second] = [await aggregator('a'), await aggregator('b')];
      const { modelId } = await first.stores.models.import('npz', npz([1, 2]), 1_000_000);
      expect(await second.stores.models.get(modelId)).not.toBeNull();
      await first.stores.models.remove(modelId);
      expect(await second.stores.models.get(modelId)).toBeNull();
      expect(await readdir(join(second.state, 'models-cache'))).toEqual([]);
    } finally {
      await end();
    }
  });

  it('take no more of the volume than they may, and are fetched again', async () => {
    const { aggregator, end } = await world();
    try {
      const { stores, state } = await aggregator('a', { cacheBytes: 10_000 });
      const models: string[] = [];
      for (let i = 0; i < 4; i += 1) {
        const values = Array.from({ length: 1_000 }, (_, at) => at + i);
        models.push((await stores.models.import('npz', npz(values), 1_000_000)).modelId);
      }
      expect((await readdir(join(state, 'models-cache'))).length).toBe(2);
      for (const modelId of models) {
        const pieces = await Array.fromAsync(stores.models.export(modelId, 'npz'));
        expect(Buffer.concat(pieces).length).toBeGreaterThan(4_000);
      }
      expect((await readdir(join(state, 'models-cache'))).length).toBeLessThanOrEqual(3);
    } finally {
      await end();
    }
  });

  it('are refused when one lies under the name of another, or is damaged', async () => {
    const { aggregator, end, bucket } = await world();
    try {
      const first = await aggregator('a');
      const [one, other] = [
        await first.stores.models.import('npz', npz([1]), 1_000_000),
        await first.stores.models.import('npz', npz([2]), 1_000_000),
      ];
      const client = new S3Client({ endpoint: aws().endpoint, forcePathStyle: true });
      const at = (id: string) => `aegis/models/${id}.model`;
      await client.send(
        new CopyObjectCommand({ Bucket: bucket, Key: at(one.modelId), CopySource: `${bucket}/${at(other.modelId)}` }),
      );
      client.destroy();
      const second = await aggregator('b');
      await expect(second.stores.models.read(one.modelId, 0, 1)).rejects.toMatchObject({ code: 'MODEL_DAMAGED' });
    } finally {
      await end();
    }
  });

  it('leave nothing half behind while S3 is away, and go on when it is back', async () => {
    const { aggregator, end } = await world();
    try {
      const { stores, state, objects } = await aggregator('a', { patience: 1 });
      aws().shut();
      const bytes = npz([...randomBytes(2_000)]);
      await expect(stores.models.import('npz', bytes, 1_000_000)).rejects.toMatchObject({
        code: 'OBJECTS_UNAVAILABLE',
      });
      expect(await readdir(join(state, 'models-cache'))).toEqual([]);
      aws().open();
      expect((await Array.fromAsync(objects.list('models/'))).length).toBe(0);
      const { modelId } = await stores.models.import('npz', bytes, 1_000_000);
      aws().shut();
      // what is here needs nobody
      expect((await stores.models.read(modelId, 0, 10)).length).toBe(10);
    } finally {
      await end();
    }
  });

  it('of somebody else are not taken: a wrong key is a wrong configuration, and a lost one is never replaced', async () => {
    const { aggregator, end, bus, bucket, folder } = await world();
    try {
      await aggregator('a');
      const objects = await openS3(
        s3Config.parse({ bucket, prefix: 'aegis/', endpoint: aws().endpoint, 'path-style': true }),
      );
      await writeFile(join(folder, 'other.key'), randomBytes(32), { mode: 0o600 });
      const { wrapper } = await openKeys({ file: join(folder, 'other.key') });
      const shared = { objects, cacheBytes: 1 };
      await expect(
        openDurableStores(bus, join(folder, 'b'), systemRandom, { keys: wrapper, shared }),
      ).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('keys/models.wrapped') });
      objects.close();
    } finally {
      await end();
    }
  });
});
