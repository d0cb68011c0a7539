// The single file of `make guard-executable`, alone in a folder. Real rounds with it: make guard-executable-round.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { version } from '../../scripts/assemble/workspaces.ts';
import { buildGuardExecutable } from '../../scripts/guard-executable/build.ts';
import { newSite, type Site } from './site.ts';

let site: Site;
let guard: string;
let temporary: string;
beforeAll(async () => {
  site = await newSite();
  guard = join(site.folder, 'aegis-guard');
  temporary = join(site.folder, 'tmp');
  mkdirSync(temporary);
  copyFileSync(await buildGuardExecutable(), guard);
});
afterAll(() => site.remove());

const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  site.run(guard, args, { TMPDIR: temporary, ...env });

it('says its version and its options, and leaves nothing behind', () => {
  expect(run(['--version'])).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: '' });
  expect(run(['--help'])).toMatchObject({ status: 0, stdout: expect.stringContaining('--explain <run-id>') });
  expect(readdirSync(temporary)).toEqual([]);
  expect(statSync(guard).size).toBeLessThan(160e6);
});

it('explains a run, supervises a program, waits for a SuperNode, and ends well when told to', async () => {
  expect(JSON.parse(run(['--explain', '77', '--json']).stdout)).toMatchObject({ runId: '77', run: null });
  expect(run([...site.options, '--', 'true'])).toMatchObject({ status: 0 });
  const listening = await site.until('waiting for a SuperNode', guard, [...site.options, '--listen', '127.0.0.1:0']);
  expect(listening.said).toMatch(/flower-supernode --superlink 127\.0\.0\.1:[1-9]\d* --insecure/);
  expect(listening.code).toBe(0);
  expect(readdirSync(temporary)).toEqual([]);
});

it('loads no code that the environment names', () => {
  writeFileSync(join(site.folder, 'foreign.cjs'), "require('node:fs').writeFileSync('foreign-ran', '');");
  const options = { NODE_OPTIONS: `--require=${join(site.folder, 'foreign.cjs')}` };
  expect(run(['--version'], options)).toMatchObject({ status: 0, stdout: `${version}\n` });
  expect(run(['--explain', '77'], options)).toMatchObject({ status: 0 });
  expect(readdirSync(site.folder)).not.toContain('foreign-ran');
});

it('refuses a native library that is not its own', () => {
  const bytes = readFileSync(guard);
  // A text of the library's own, changed in place: same length, another hash.
  const at = bytes.indexOf(Buffer.from('aegis_node'), bytes.length - 13_000_000);
  expect(at).toBeGreaterThan(0);
  bytes.write('Aegis_node', at, 'latin1');
  const damaged = join(site.folder, 'damaged');
  writeFileSync(damaged, bytes, { mode: 0o755 });
  expect(site.run(damaged, ['--explain', '77'], { TMPDIR: temporary })).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('the native library in this file is damaged'),
  });
  expect(readdirSync(temporary)).toEqual([]);
});
