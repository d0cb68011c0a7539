import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { certifiedUser } from '@aegis/service-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../program.ts';
import { keeping } from '../terminal.test-support.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-ca-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const aegis = async (...args: string[]) => {
  const [stdout, stderr] = [keeping(), keeping()];
  const exitCode = await run(args, {
    stdout: stdout.stream,
    stderr: stderr.stream,
    env: {},
    signal: new AbortController().signal,
  });
  return { exitCode, stdout: stdout.text(), stderr: stderr.text() };
};
const ca = (...args: string[]) => aegis('ca', ...args, '--dir', join(folder, 'ca'));
const issue = (...args: string[]) => ca('issue', ...args, '--out', folder);

describe('aegis ca', () => {
  it('makes a root whose key is its owner’s alone, once', async () => {
    const { exitCode, stdout } = await ca('init', '--federation', 'hospitals', '--json');
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ federation: 'hospitals', root: join(folder, 'ca', 'root.pem') });
    expect((await stat(join(folder, 'ca', 'root.key'))).mode & 0o077).toBe(0);
    const before = await readFile(join(folder, 'ca', 'root.pem'), 'utf8');
    const again = await ca('init');
    expect(again.exitCode).toBe(1);
    expect(again.stderr).toContain('aegis ca issue');
    expect(await readFile(join(folder, 'ca', 'root.pem'), 'utf8')).toBe(before);
  });

  it('issues under the root, key files readable by their owner alone, and writes down what it issued', async () => {
    await ca('init');
    const { stdout } = await issue('ada', '--kind', 'guard', '--json');
    const { cert, key, serial } = JSON.parse(stdout);
    const leaf = new X509Certificate(await readFile(cert));
    expect(leaf.verify(new X509Certificate(await readFile(join(folder, 'ca', 'root.pem'))).publicKey)).toBe(true);
    expect(leaf.serialNumber.toLowerCase()).toBe(serial);
    expect((await stat(key)).mode & 0o077).toBe(0);
    const [line] = (await readFile(join(folder, 'ca', 'issued.jsonl'), 'utf8')).split('\n');
    expect(JSON.parse(line ?? '')).toMatchObject({ serial, kind: 'guard', name: 'ada' });
  });

  it('certifies an issuer, whose key is its owner’s alone, and takes it back like anything else', async () => {
    await ca('init', '--federation', 'hospitals');
    const { stdout } = await ca('issuer', 'edge', '--out', folder, '--days', '30', '--json');
    const { cert, key, serial, until } = JSON.parse(stdout);
    const certificate = new X509Certificate(await readFile(cert));
    expect(certificate.ca).toBe(true);
    expect(certificate.subject).toBe('O=hospitals\nCN=edge issuer');
    expect(Date.parse(until) - Date.now()).toBeLessThan(30 * 86_400_000 + 1_000);
    expect((await stat(key)).mode & 0o077).toBe(0);
    expect((await ca('issuer', 'edge', '--out', folder)).stderr).toContain('keys are not written over');
    expect(JSON.parse((await ca('revoke', 'edge', '--json')).stdout).revoked).toEqual([
      { serial, kind: 'issuer', name: 'edge' },
    ]);
  });

  it('gives a name to one party: a second certificate must be called a renewal, and keeps the key', async () => {
    await ca('init');
    await issue('ada', '--kind', 'guard');
    const key = await readFile(join(folder, 'ada.key'), 'utf8');
    const second = await ca('issue', 'ada', '--kind', 'guard', '--out', join(folder, 'elsewhere'));
    expect(second.exitCode).toBe(1);
    expect(second.stderr).toMatch(/ada has a guard certificate until .*\n.*--renew/);
    expect(await readdir(folder)).not.toContain('elsewhere');
    const renewed = await issue('ada', '--kind', 'guard', '--renew', '--json');
    expect(JSON.parse(renewed.stdout)).toMatchObject({ sameKey: true });
    expect(await readFile(join(folder, 'ada.key'), 'utf8')).toBe(key);
  });

  it('says whose node it is, and again at a renewal', async () => {
    await ca('init');
    const userOf = async () =>
      certifiedUser(new X509Certificate(await readFile(join(folder, 'ada.pem'))).subjectAltName);
    await issue('ada', '--kind', 'guard', '--user', 'house-a');
    expect(await userOf()).toBe('house-a');
    await issue('ada', '--kind', 'guard', '--renew');
    expect(await userOf()).toBe('house-a');
    await issue('ada', '--kind', 'guard', '--renew', '--user', 'house-b');
    expect(await userOf()).toBe('house-b');
    expect(await issue('gw', '--kind', 'service', '--san', 'gw', '--user', 'house-a')).toMatchObject({ exitCode: 2 });
    expect(await issue('bob', '--kind', 'guard', '--user', 'Two Words')).toMatchObject({ exitCode: 2 });
  });

  it('writes over no key', async () => {
    await ca('init');
    await writeFile(join(folder, 'ada.key'), 'precious');
    const { exitCode, stderr } = await issue('ada', '--kind', 'node');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('keys are not written over');
    expect(await readFile(join(folder, 'ada.key'), 'utf8')).toBe('precious');
  });

  it('revokes by name, and the name is free for a new key', async () => {
    await ca('init');
    await issue('ada', '--kind', 'guard');
    const { stdout } = await ca('revoke', 'ada', '--json');
    expect(JSON.parse(stdout).revoked).toMatchObject([{ kind: 'guard', name: 'ada' }]);
    expect((await ca('issue', 'ada', '--kind', 'guard', '--out', join(folder, 'new'))).exitCode).toBe(0);
    expect((await ca('revoke', 'bob')).stderr).toContain('No certificate of bob was issued here.');
  });

  it('asks a service for the names it is reached by, and nobody else', async () => {
    await ca('init');
    expect(await issue('gateway', '--kind', 'service')).toMatchObject({ exitCode: 2 });
    expect(await issue('ada', '--kind', 'node', '--san', 'ada.example')).toMatchObject({ exitCode: 2 });
    const { stdout } = await issue(
      'gateway',
      '--kind',
      'service',
      '--san',
      'a.example',
      '--san',
      '192.0.2.7',
      '--json',
    );
    const leaf = new X509Certificate(await readFile(JSON.parse(stdout).cert));
    expect(leaf.checkHost('a.example')).toBe('a.example');
    expect(leaf.checkIP('192.0.2.7')).toBe('192.0.2.7');
  });

  it.each([
    ['no authority there', async () => {}, /holds no authority.*\n.*aegis ca init/],
    ['a root key that others may read', () => chmod(join(folder, 'ca', 'root.key'), 0o644), /chmod 600/],
    ['a key of another root', () => writeFile(join(folder, 'ca', 'root.key'), strayKey()), /is not the key of/],
    ['a list that is damaged', () => writeFile(join(folder, 'ca', 'issued.jsonl'), '{"serial"'), /damaged/],
  ] as const)('says what to do about %s', async (name, spoil, expected) => {
    if (name !== 'no authority there') await ca('init');
    await spoil();
    const { exitCode, stderr } = await issue('ada', '--kind', 'guard');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(expected);
    expect(await readdir(folder)).not.toContain('ada.pem');
  });

  it('refuses a name that files, URIs and subjects would read differently', async () => {
    await ca('init');
    for (const name of ['../ada', 'Ada', 'ada bob', 'a'.repeat(64)]) {
      expect(await issue(name, '--kind', 'node')).toMatchObject({ exitCode: 2 });
    }
  });
});

const strayKey = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
