// terraform itself, without AWS: format, validity of both examples, and the tests in *.tftest.hcl against a mock provider.
// Each works on a copy, so that nothing is left behind in the project.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findToolchain } from './toolchain.ts';

const toolchain = findToolchain();
const missing = 'missing' in toolchain ? toolchain.missing : undefined;
if (missing) console.log(`terraform tests skipped: ${missing}`);

const source = join(import.meta.dirname, '..');
let work: string;

function terraform(folder: string, ...args: string[]): Promise<{ code: number; output: string }> {
  const env = 'env' in toolchain ? toolchain.env : {};
  return new Promise((resolve, reject) => {
    const child = spawn('terraform', args, { cwd: join(work, folder), env: { ...process.env, ...env } });
    let output = '';
    const keep = (chunk: Buffer) => {
      output += chunk.toString('utf8');
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

describe.skipIf(missing !== undefined)('terraform', () => {
  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), 'aegis-terraform-'));
    for (const room of ['modules', 'examples', 'tests', 'versions.tf']) {
      cpSync(join(source, room), join(work, room), {
        recursive: true,
        filter: (path) => !/\.terraform|tfstate/.test(path),
      });
    }
    mkdirSync(join(work, 'tests'), { recursive: true });
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  test('every file is formatted', async () => {
    const { code, output } = await terraform('.', 'fmt', '-check', '-recursive', '-diff', '-no-color');
    expect(output).toBe('');
    expect(code).toBe(0);
  });

  test.for(readdirSync(join(source, 'examples')))('example %s is valid', async (example) => {
    const init = await terraform(`examples/${example}`, 'init', '-backend=false', '-input=false', '-no-color');
    expect(init.code, init.output).toBe(0);
    const { code, output } = await terraform(`examples/${example}`, 'validate', '-no-color');
    expect(code, output).toBe(0);
  });

  test('all runs of *.tftest.hcl pass', async () => {
    const init = await terraform('.', 'init', '-backend=false', '-input=false', '-no-color');
    expect(init.code, init.output).toBe(0);
    const { code, output } = await terraform('.', 'test', '-no-color');
    expect(output).toMatch(/Success! \d+ passed, 0 failed\./);
    expect(code).toBe(0);
  });
});
