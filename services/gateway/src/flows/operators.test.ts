import { createHash } from 'node:crypto';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret, silentLogger } from '@aegis/service-kit';
import { FakeClock, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Operators } from './operators.ts';

let folder: TemporaryFolder;
let file: string;
let clock: FakeClock;
beforeEach(async () => {
  folder = await temporaryFolder('operators');
  file = join(folder.path, 'operators.json');
  clock = new FakeClock(Date.parse('2026-11-27T00:00:00Z'));
});
afterEach(() => folder.remove());

const record = (name: string, role: string, token: string, more = {}) => ({
  ...{ name, role, sha256: createHash('sha256').update(token).digest('hex') },
  ...more,
});
const write = (...operators: object[]) => writeFile(file, JSON.stringify({ operators }), { mode: 0o600 });
const open = (token: string | undefined = 'first') =>
  new Operators({ token: token === undefined ? undefined : new Secret(token), file }, clock, silentLogger);

describe('tokens of operators', () => {
  it('are known by what they hash to, with name and role, beside that of the first operator', async () => {
    await write(record('ada', 'viewer', 'tok-a'), record('bob', 'auditor', 'tok-b'));
    const operators = open();
    expect(operators.of('first')).toEqual({ name: 'operator', role: 'admin' });
    expect(operators.of('tok-a')).toEqual({ name: 'ada', role: 'viewer' });
    expect(operators.of('tok-b')).toEqual({ name: 'bob', role: 'auditor' });
    for (const nobody of ['', 'tok', 'tok-a ', 'TOK-A', record('ada', 'viewer', 'tok-a').sha256]) {
      expect(operators.of(nobody)).toBe(null);
    }
  });

  it('are looked at again when the file changes: given and taken back within a second', async () => {
    const operators = open();
    expect(operators.of('tok-a')).toBe(null);
    await write(record('ada', 'runner', 'tok-a'));
    await clock.advance(1_000);
    expect(operators.of('tok-a')?.role).toBe('runner');
    await rm(file);
    await clock.advance(1_000);
    expect(operators.of('tok-a')).toBe(null);
    expect(operators.of('first')?.role).toBe('admin');
  });

  it('end when they say so', async () => {
    await write(record('ada', 'runner', 'tok-a', { expires: '2026-11-27T00:00:10Z' }));
    const operators = open();
    expect(operators.of('tok-a')?.name).toBe('ada');
    await clock.advance(10_000);
    expect(operators.of('tok-a')).toBe(null);
  });

  it.each([
    ['is no JSON', () => writeFile(file, 'ada: admin', { mode: 0o600 })],
    ['has a role that is none', () => write(record('ada', 'root', 'tok-a'))],
    ['says more than is known', () => write(record('ada', 'viewer', 'tok-a', { admin: true }))],
    [
      'others may write',
      async () => {
        await write(record('ada', 'viewer', 'tok-a'));
        await chmod(file, 0o666);
      },
    ],
  ])('are nobody’s in a file that %s', async (_name, make) => {
    await write(record('ada', 'viewer', 'tok-a'));
    const operators = open();
    expect(operators.of('tok-a')?.name).toBe('ada');
    await rm(file);
    await make();
    await clock.advance(1_000);
    expect(operators.of('tok-a')).toBe(null);
    expect(operators.of('first')?.name).toBe('operator');
  });
});
