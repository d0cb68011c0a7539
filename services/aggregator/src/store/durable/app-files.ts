import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '@aegis/bus';
import { type DataKey, openFile, sealFile } from '@aegis/core-native';
import type { AppRecord, AppStore } from '../contract.ts';
import { inCore } from './core-errors.ts';
import type { Depot } from './depot.ts';
import { Documents } from './documents.ts';

/** Bundles as sealed files, byte for byte, with a depot also there; what is known of them in the bucket `apps`. */
export async function appFiles(bus: Bus, folder: string, key: DataKey, depot: Depot | null = null): Promise<AppStore> {
  const documents = new Documents<AppRecord>(await bus.bucket('apps'));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = (hash: string): string => join(folder, `${hash}.fab`);
  const isHere = async (hash: string): Promise<boolean> => (await stat(path(hash)).catch(() => null)) !== null;
  const fetch = async (hash: string): Promise<boolean> => {
    const temporary = `${path(hash)}.${randomBytes(6).toString('hex')}.tmp`;
    if (!(await inCore(() => depot?.fetch(`${hash}.fab`, temporary) ?? false))) return false;
    await rename(temporary, path(hash)).catch(async (error: unknown) => {
      await rm(temporary, { force: true });
      throw error;
    });
    return true;
  };
  const context = (hash: string): string => `app/${hash}`;
  return {
    put: async (app, fab) => {
      await inCore(() => sealFile(path(app.hash), fab, key, context(app.hash)));
      await depot?.put(`${app.hash}.fab`, path(app.hash));
      await documents.put(app.hash, app);
    },
    get: async (hash) => (/^[0-9a-f]{64}$/.test(hash) ? ((await documents.get(hash))?.value ?? null) : null),
    fab: async (hash) => {
      if (!/^[0-9a-f]{64}$/.test(hash) || !((await isHere(hash)) || (await fetch(hash)))) return null;
      return inCore(() => openFile(path(hash), key, context(hash)));
    },
  };
}
