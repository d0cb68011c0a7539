import { readFile } from 'node:fs/promises';
import { type Secret, writeFileAtomic } from '@aegis/service-kit';
import type { Snapshots } from '../contract.ts';
import { openSnapshot, saysTheSame, sealSnapshot } from '../snapshot-text.ts';

/** The newest snapshot in one file of the state directory. */
export const fileSnapshots = (path: string, key: Secret): Snapshots => ({
  read: async () => {
    const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    return content === null ? null : openSnapshot(content, key);
  },
  write: (snapshot) => writeFileAtomic(path, sealSnapshot(snapshot, key), 0o600),
  says: saysTheSame,
});
