// Takes the place of the core's binding.ts inside the single file: the native library is an asset there, and an operating system loads
// libraries from files alone. It is written where nobody else can write or read, read back, compared, loaded, and taken away.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRawAsset } from 'node:sea';
import type { Binding } from '../../core-native/npm/binding.ts';

/** Of the library that this file was built with; the build puts it here. */
declare const NATIVE_SHA256: string;

const loadFrom = (folder: string): Binding => {
  try {
    const file = join(folder, 'aegis-node.node');
    writeFileSync(file, new Uint8Array(getRawAsset('aegis-node.node')), { flag: 'wx', mode: 0o500 });
    const found = createHash('sha256').update(readFileSync(file)).digest('hex');
    if (found !== NATIVE_SHA256) throw new Error('the native library in this file is damaged; get the file again');
    const module: { exports: unknown } = { exports: {} };
    process.dlopen(module, file);
    return module.exports as Binding;
  } finally {
    // What is loaded stays loaded.
    rmSync(folder, { recursive: true, force: true });
  }
};

const load = (): Binding => {
  // mkdtemp makes a folder that did not exist, for its owner alone (0700): nobody can have put anything there before.
  const folder = mkdtempSync(join(tmpdir(), 'aegis-guard-'));
  try {
    return loadFrom(folder);
  } catch (error) {
    // A temporary folder that is mounted noexec is the usual reason.
    console.error(`aegis-guard: its native library does not load from ${folder}: ${(error as Error).message}
  Set TMPDIR to a folder from which programs may run.`);
    process.exit(1);
  }
};

export const binding = load();
