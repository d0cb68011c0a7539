// The archives of `make npm-packages`, installed where nothing else is.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { version } from '../../scripts/assemble/workspaces.ts';
import { packNpm } from '../../scripts/npm-packages.ts';
import { newSite, type Site } from './site.ts';

const npm = join(import.meta.dirname, '../../scripts/npm.sh');
let site: Site;
beforeAll(async () => {
  site = await newSite();
  const archives = packNpm(join(site.folder, 'archives'));
  const install = ['install', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync(npm, [...install, ...archives], { cwd: site.folder, stdio: 'pipe' });
});
afterAll(() => site.remove());

const program = (name: string): string => join(site.folder, 'node_modules/.bin', name);
/** With the Node that runs this test: the programs ask for `node` of the PATH. */
const env = () => ({ PATH: `${join(process.execPath, '..')}:/usr/bin:/bin` });

it('have JavaScript and no TypeScript, and no test', () => {
  const files = readdirSync(join(site.folder, 'node_modules/@aegis'), { recursive: true, encoding: 'utf8' });
  const own = files.filter((file) => !file.includes('node_modules'));
  expect(own).toContain(join('cli', 'bin', 'aegis.js'));
  expect(own.filter((file) => /\.ts$|\.test\./.test(file))).toEqual([]);
});

it('bring the two commands', () => {
  for (const name of ['aegis', 'aegis-guard']) {
    expect(site.run(program(name), ['--version'], env())).toMatchObject({ status: 0, stdout: `${version}\n` });
  }
  const help = site.run(program('aegis'), ['guard', '--help'], env());
  expect(help).toMatchObject({ status: 0, stdout: expect.stringContaining('--listen <address:port>') });
});

it('run a guard, with the native core', () => {
  const explained = site.run(program('aegis'), ['guard', '--explain', '77', '--json'], env());
  expect(JSON.parse(explained.stdout)).toMatchObject({ runId: '77', run: null });
  const guarded = site.run(program('aegis-guard'), [...site.options, '--', 'true'], env());
  expect(guarded).toMatchObject({ status: 0 });
});
