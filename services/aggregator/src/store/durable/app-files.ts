import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '@aegis/bus';
import { type DataKey, openFile, sealFile } from '@aegis/core-native';
import type { AppRecord, AppStore } from '../contract.ts';
import { inCore } from './core-errors.ts';
import { Documents } from './documents.ts';

/** Bundles as sealed files, byte for byte; what is known of them in the bucket `apps`. */
export async function appFiles(bus: Bus, folder: string, key: DataKey): Promise<AppStore> {
  const documents = new Documents<AppRecord>(await bus.bucket('apps'));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = (hash: string): string => join(folder, `${hash}.fab`);
  const context = (hash: string): string => `app/${hash}`;
  return {
    put: async (app, fab) => {
      await inCore(() => sealFile(path(app.hash), fab, key, context(app.hash)));
      await documents.put(app.hash, app);
    },
    get: async (hash) => (/^[0-9a-f]{64}$/.test(hash) ? ((await documents.get(hash))?.value ?? null) : null),
    fab: async (hash) => {
      if (!/^[0-9a-f]{64}$/.test(hash) || (await stat(path(hash)).catch(() => null)) === null) return null;
      return inCore(() => openFile(path(hash), key, context(hash)));
    },
  };
}
