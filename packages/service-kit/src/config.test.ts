import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadConfig, parseConfig, secretFile } from './config.ts';
import { Secret } from './secret.ts';

const schema = z.strictObject({
  listen: z.strictObject({ host: z.string().default('127.0.0.1'), port: z.number().int().min(0).max(65535) }),
  callers: z.record(z.string(), z.array(z.string())).default({}),
});

describe('config', () => {
  let folder: TemporaryFolder;
  beforeAll(async () => {
    folder = await temporaryFolder('config');
  });
  afterAll(() => folder.remove());

  it('reads YAML, fills in defaults and freezes it to the bottom', async () => {
    const file = join(folder.path, 'good.yaml');
    await writeFile(file, 'listen: { port: 9093 }\ncallers:\n  a.b.C: [gateway]\n');
    const config = loadConfig(file, schema);
    expect(config).toEqual({ listen: { host: '127.0.0.1', port: 9093 }, callers: { 'a.b.C': ['gateway'] } });
    expect(() => Object.assign(config.listen, { port: 1 })).toThrow(TypeError);
    expect(() => config.callers['a.b.C']?.push('x')).toThrow(TypeError);
  });

  it.each([
    ['an unknown key, with its path', 'listen: { port: 1, hots: x }', 'listen.hots is not a known key'],
    ['an alias of nothing', 'listen: *there', 'Unresolved alias'],
    ['an unknown key at the top', 'listen: { port: 1 }\ntypo: 1', 'typo is not a known key'],
    ['a wrong value, with its path', 'listen: { port: many }', 'listen.port: '],
    ['a wrong item, with its place', 'listen: { port: 1 }\ncallers: { s: [a, 2] }', 'callers.s[1]: '],
    ['a missing key', 'listen: {}', 'listen.port: '],
    ['an empty file', '', 'listen: '],
    ['a key given twice', 'listen: { port: 1 }\nlisten: { port: 2 }', 'unique'],
    ['what is not YAML', 'listen: [', 'at line 1'],
  ])('refuses %s', (_, text, complaint) => {
    expect(() => parseConfig(text, schema, 'gateway.yaml')).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        detail: expect.stringMatching(new RegExp(`^gateway\\.yaml: .*${complaint.replace(/[[\]().]/g, '\\$&')}`, 's')),
      }),
    );
  });

  it('names a file that cannot be read', () => {
    expect(() => loadConfig('/nowhere/x.yaml', schema)).toThrow(/\/nowhere\/x\.yaml cannot be read/);
  });

  it('does not repeat a value in a complaint: it may be a secret in the wrong place', () => {
    expect(() => parseConfig('listen: { port: hunter2 }', schema, 'f')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
    );
  });

  it('reads a secret from its file, without the newline', async () => {
    const file = join(folder.path, 'token');
    await writeFile(file, 's3cret\n');
    const { token } = parseConfig(`token: ${file}`, z.strictObject({ token: secretFile }), 'f');
    expect(token).toBeInstanceOf(Secret);
    expect(token.reveal()).toBe('s3cret');
  });

  it('names a secret file that is missing or empty', async () => {
    const empty = join(folder.path, 'empty');
    await writeFile(empty, '\n');
    const tokenIn = (file: string) => () => parseConfig(`token: ${file}`, z.strictObject({ token: secretFile }), 'f');
    expect(tokenIn(empty)).toThrow(/token: .*empty is empty/);
    expect(tokenIn('/nowhere/token')).toThrow(/token: \/nowhere\/token cannot be read/);
  });
});
