import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { writeFileAtomic } from './atomic-file.ts';

it('replaces a file whole, with its mode, and leaves nothing else behind', async () => {
  await using folder = await temporaryFolder('atomic');
  const file = join(folder.path, 'below/key');
  await writeFileAtomic(file, 'one', 0o600);
  await writeFileAtomic(file, 'two', 0o600);
  expect(await readFile(file, 'utf8')).toBe('two');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(folder.path, 'below'))).toEqual(['key']);
});

it('leaves the old file and no rest when it cannot replace it', async () => {
  await using folder = await temporaryFolder('atomic');
  await writeFile(join(folder.path, 'file'), 'x');
  await expect(writeFileAtomic(join(folder.path, 'file/below'), 'y')).rejects.toThrow();
  expect(await readdir(folder.path)).toEqual(['file']);
});
