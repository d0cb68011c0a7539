import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isAllowed, lockFaults, secretIn } from '../../scripts/supply-chain.ts';

const root = join(import.meta.dirname, '../..');
const good = { integrity: 'sha512-x', license: 'MIT' };
const faults = (more: object) => lockFaults({ 'node_modules/a': { ...good, ...more } });

describe('what is taken from others', () => {
  it('has a hash, no place of its own, no script and a licence that is allowed', () => {
    expect(faults({})).toEqual([]);
    expect(faults({ integrity: 'sha1-x' })).toHaveLength(1);
    expect(faults({ resolved: 'https://elsewhere.example/a.tgz' })).toHaveLength(1);
    expect(faults({ hasInstallScript: true })).toHaveLength(1);
    expect(faults({ license: 'AGPL-3.0' })).toHaveLength(1);
    expect(faults({ license: undefined })).toHaveLength(1);
  });

  it('is under one of several licences, or under all of them', () => {
    expect(isAllowed('MIT OR GPL-3.0')).toBe(true);
    expect(isAllowed('(MIT OR Apache-2.0) AND Unicode-3.0')).toBe(true);
    expect(isAllowed('MIT AND GPL-3.0')).toBe(false);
  });
});

it('a secret in the tree is seen', () => {
  const [begin, end] = ['-----BEGIN EC PRIVATE KEY', '-----\n'];
  expect(secretIn(`${begin}${end}${'A'.repeat(64)}\n`)).toBe('a private key');
  expect(secretIn(`key = ${'AKIA'}ABCDEFGHIJKLMNOP`)).toBe('a key of AWS');
  expect(secretIn('-----BEGIN PRIVATE KEY-----')).toBeNull();
});

it('each proof that the threat model names is there', () => {
  const text = readFileSync(join(root, 'docs/threat-model.md'), 'utf8');
  const rows = text.split('\n').filter((line) => /^\| [STRIDE, ]+: /.test(line));
  expect(rows.length).toBeGreaterThan(40);
  for (const row of rows) {
    const proof = row.split('|').at(-2) ?? '';
    const named = [...proof.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '');
    expect(named.length, row).toBeGreaterThan(0);
    let folder = '';
    for (const name of named) {
      if (name.startsWith('make ')) continue;
      if (name.includes('/')) folder = dirname(name);
      expect([row, existsSync(join(root, name.includes('/') ? name : join(folder, name)))]).toEqual([row, true]);
    }
  }
});
