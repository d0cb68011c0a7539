import { randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * The content of `file`, made with `first` (mode 0600, durable) when it is not there. When several processes make it at the same time, or one
 * was paused while it did, all get what the first to end has made: a file that is there never changes.
 */
export async function keepFirst(file: string, first: () => Uint8Array | Promise<Uint8Array>): Promise<Buffer> {
  const kept = await readIfThere(file);
  if (kept !== null) return kept;
  const content = await first();
  const temporary = `${file}.${randomBytes(8).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // a hard link, unlike a rename, replaces nothing
    await link(temporary, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    const folder = await open(dirname(file), 'r');
    await folder.sync().finally(() => folder.close());
  } finally {
    await rm(temporary, { force: true });
  }
  return readFile(file);
}

const readIfThere = (file: string): Promise<Buffer | null> =>
  readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
