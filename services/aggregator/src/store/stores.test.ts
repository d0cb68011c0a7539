import { createHash } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemRandom } from '@aegis/service-kit';
import { startTestNats, temporaryFolder } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { storesSuite } from './conformance.ts';
import { openDurableStores } from './durable/index.ts';
import { flowerFoldSuite } from './flower-conformance.ts';
import { maskedFoldSuite } from './masked-conformance.ts';
import { memoryStores } from './memory/index.ts';
import { writeNpy, writeNpz } from './memory/npy.ts';
import { privateFoldSuite } from './private-conformance.ts';

storesSuite('memory', async () => ({ subject: memoryStores() }));
privateFoldSuite('memory', async () => ({ subject: memoryStores() }));
maskedFoldSuite('memory', async () => ({ subject: memoryStores() }));
flowerFoldSuite('memory', async () => ({ subject: memoryStores() }));

const durable = async () => {
  const nats = await startTestNats();
  const folder = await temporaryFolder('stores');
  const bus = await nats.connect();
  const stores = await openDurableStores(bus, folder.path, systemRandom);
  const end = async () => {
    await stores.close();
    await nats.stop();
    await folder.remove();
  };
  return { subject: stores, end, folder: folder.path, bus };
};
storesSuite('durable', durable);
privateFoldSuite('durable', durable);
maskedFoldSuite('durable', durable);
flowerFoldSuite('durable', durable);

const marker = 'a secret that must not lie about';
const model = writeNpz([{ name: marker, npy: writeNpy({ descr: '<f4', shape: [2], values: [1, 2] }) }]);

describe('the durable stores', () => {
  it('leave nothing readable on the disk, and keys to their owner', async () => {
    const { subject: stores, end, folder } = await durable();
    try {
      const app = { hash: 'a'.repeat(64), digest: 'd', appId: 'a/b', version: '1', config: [], detectedDialect: null };
      await stores.apps.put(app, Buffer.from(marker));
      await stores.models.import('npz', model, 1_000_000);
      const intake = await stores.intakes.open({ runId: 1n, round: 1, kind: 'evaluate', attempt: 1 }, null, 1);
      const answer = {
        taskId: 'T',
        nodeId: 1n,
        digest: marker,
        tensors: [],
        metrics: [],
        weight: 1,
        runtimeSeconds: 0,
        norm: 0,
      };
      await intake.record(answer);
      await intake.close();
      const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
      expect(files.length).toBeGreaterThan(5);
      for (const file of files) {
        const path = join(file.parentPath, file.name);
        expect((await readFile(path)).includes(marker), path).toBe(false);
      }
      expect((await stat(join(folder, 'keys/aggregator.key'))).mode & 0o777).toBe(0o600);
    } finally {
      await end();
    }
  });

  it('are the same volume to every process, and know the one that comes back', async () => {
    const { subject: first, end, folder, bus } = await durable();
    try {
      const second = await openDurableStores(bus, folder, systemRandom);
      expect(second.volume).toBe(first.volume);
      expect(second.owner).not.toBe(first.owner);
      expect((await stat(join(folder, 'volume'))).mode & 0o777).toBe(0o600);
      await first.close();
      const again = await openDurableStores(bus, folder, systemRandom);
      expect([again.owner, again.volume]).toEqual([first.owner, first.volume]);
      await again.close();
      await second.close();
    } finally {
      await end().catch(() => {});
    }
  });

  it('have one key for a run, whoever of several processes makes it', async () => {
    const { subject: first, end, folder, bus } = await durable();
    const second = await openDurableStores(bus, folder, systemRandom);
    try {
      const rooms = [1, 2, 3, 4, 5, 6].map((round) => ({ runId: 1n, round, kind: 'evaluate' as const, attempt: 1 }));
      const opened = await Promise.all(rooms.map((room, i) => (i % 2 ? first : second).intakes.open(room, null, 1)));
      await Promise.all(opened.map((intake) => intake.append(createHash('sha256').digest('hex'), Buffer.alloc(0))));
      await Promise.all(opened.map((intake) => intake.close()));
      const again = await Promise.all(rooms.map((room) => first.intakes.open(room, null, 2)));
      expect(again.every((intake) => intake.has(createHash('sha256').digest('hex')))).toBe(true);
      await Promise.all(again.map((intake) => intake.close()));
    } finally {
      await second.close();
      await end();
    }
  });

  it('clear away models that their process was writing when it ended, and no other', async () => {
    const { subject: first, end, folder, bus } = await durable();
    try {
      const second = await openDurableStores(bus, folder, systemRandom);
      await first.close();
      for (const name of ['writing-0-1234', 'writing-1-1234'])
        await writeFile(join(folder, 'models', name), 'half a model');
      const again = await openDurableStores(bus, folder, systemRandom);
      expect(await readdir(join(folder, 'models'))).toEqual(['writing-1-1234']);
      await again.close();
      await second.close();
    } finally {
      await end().catch(() => {});
    }
  });

  it('leave no temporary file behind an export that nobody finished', async () => {
    const { subject: stores, end, folder } = await durable();
    try {
      const { modelId } = await stores.models.import('npz', model, 1_000_000);
      for await (const piece of stores.models.export(modelId, 'safetensors')) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
      expect(await readdir(join(folder, 'models'))).toEqual([`${modelId}.model`]);
    } finally {
      await end();
    }
  });

  it('import what they exported as safetensors as the same model', async () => {
    const { subject: stores, end } = await durable();
    try {
      const { modelId } = await stores.models.import('npz', model, 1_000_000);
      const pieces: Buffer[] = [];
      for await (const piece of stores.models.export(modelId, 'safetensors')) pieces.push(piece);
      expect((await stores.models.import('safetensors', Buffer.concat(pieces), 1_000_000)).modelId).toBe(modelId);
    } finally {
      await end();
    }
  });
});
