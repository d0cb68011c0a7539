import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRoot, issueCertificate } from '@aegis/service-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../program.ts';
import { keeping } from '../terminal.test-support.ts';

let folder: string;
let given: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-guard-'));
  const now = Date.now();
  const root = await createRoot('hospitals', 10, now);
  const { certPem, keyPem } = await issueCertificate(root, { kind: 'guard', name: 'ada', days: 1 }, now);
  await writeFile(join(folder, 'ca.pem'), root.certPem);
  await writeFile(join(folder, 'ada.pem'), certPem);
  await writeFile(join(folder, 'ada.key'), keyPem, { mode: 0o600 });
  await writeFile(join(folder, 'policy.yaml'), 'apps: [a/b]\n');
  given = [
    ...['--server', '127.0.0.1:1', '--ca', join(folder, 'ca.pem')],
    ...['--certificate', join(folder, 'ada.pem'), '--key', join(folder, 'ada.key')],
    ...['--policy', join(folder, 'policy.yaml'), '--state', join(folder, 'state')],
  ];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const guard = async (...args: string[]) => {
  const [stdout, stderr] = [keeping(), keeping()];
  const options = { stdout: stdout.stream, stderr: stderr.stream, env: { PATH: '/bin:/usr/bin' } };
  const exitCode = await run(['guard', ...args], { ...options, signal: new AbortController().signal });
  return { exitCode, out: stdout.text(), err: stderr.text() };
};

describe('aegis guard', () => {
  it.each<[string, string[], number, RegExp]>([
    ['nothing to guard', [], 2, /aegis guard … -- flower-supernode/],
    ["an argument that is the guard's", ['--', 'flower-supernode', '--superlink', 'x:1'], 2, /Leave --superlink out/],
    ['both a command and --listen', ['--listen', '127.0.0.1:9092', '--', 'true'], 2, /Say one of the two/],
    ["a port that others than this machine's programs reach", ['--listen', '0.0.0.0:9092'], 2, /must be a loopback/],
    ['a port that is none', ['--listen', '127.0.0.1:70000'], 2, /must be a loopback/],
    ['a program that is not there', ['--', 'no-such-program'], 5, /no program no-such-program/],
  ])('says what to do about %s', async (_name, args, exitCode, words) => {
    const ended = await guard(...given, ...args);
    expect(ended.exitCode).toBe(exitCode);
    expect(ended.err).toMatch(words);
  });

  it('needs to know where the server is, and who it is itself', async () => {
    for (const option of ['--server', '--ca', '--certificate', '--key']) {
      const at = given.indexOf(option);
      const { exitCode, err } = await guard(...given.toSpliced(at, 2), '--', 'true');
      expect(exitCode).toBe(2);
      expect(err).toContain(`The guard needs ${option}`);
    }
  });

  it('that has no certificate needs an invitation, and the root it believes', async () => {
    const alone = given.filter((_one, at) => at < 4 || at > 7);
    const asked = async (...more: string[]) => guard(...alone, ...more, '--', 'true');
    expect(await asked()).toMatchObject({ exitCode: 2, err: expect.stringContaining('--federation-root FILE') });
    const root = ['--federation-root', join(folder, 'ca.pem')];
    expect(await asked(...root)).toMatchObject({ exitCode: 2, err: expect.stringContaining('aegis nodes invite') });
    const none = ['--federation-root', join(folder, 'policy.yaml'), '--invite', 't'];
    expect(await asked(...none)).toMatchObject({ exitCode: 2, err: expect.stringContaining('no certificate in') });
    const missing = ['--federation-root', join(folder, 'nothing'), '--invite', 't'];
    expect(await asked(...missing)).toMatchObject({ exitCode: 2, err: expect.stringContaining('cannot be read') });
  });

  it('refuses a key that others may read, and a policy that it does not understand', async () => {
    await chmod(join(folder, 'ada.key'), 0o644);
    expect((await guard(...given, '--', 'true')).err).toContain('chmod 600');
    await writeFile(join(folder, 'policy.yaml'), 'apps: [a/b]\nrequire-maskin: true\n');
    const { exitCode, err } = await guard(...given, '--', 'true');
    expect(exitCode).toBe(1);
    expect(err).toContain('require-maskin is not a known key');
  });

  it('masks with all that it needs for that, or not at all', async () => {
    const now = Date.now();
    const root = await createRoot('hospitals', 10, now);
    const { certPem, keyPem } = await issueCertificate(root, { kind: 'signing', name: 'ada', days: 1 }, now);
    const [certificate, key, roots] = ['signing.pem', 'signing.key', 'root.pem'].map((name) => join(folder, name));
    await writeFile(certificate as string, certPem);
    await writeFile(key as string, keyPem, { mode: 0o644 });
    await writeFile(roots as string, root.certPem);
    const half = ['--signing-certificate', certificate as string];
    expect(await guard(...given, ...half, '--', 'true')).toMatchObject({
      exitCode: 2,
      err: expect.stringContaining('--signing-key FILE'),
    });
    const all = [...half, '--signing-key', key as string, '--federation-root', roots as string];
    expect((await guard(...given, ...all, '--', 'true')).err).toContain('chmod 600');
    await chmod(key as string, 0o600);
    expect((await guard(...given, ...all, '--', 'true')).exitCode).toBe(0);
    const bob = await issueCertificate(root, { kind: 'guard', name: 'bob', days: 1 }, now);
    await writeFile(join(folder, 'bob.pem'), bob.certPem);
    await writeFile(join(folder, 'bob.key'), bob.keyPem, { mode: 0o600 });
    const asBob = ['--certificate', join(folder, 'bob.pem'), '--key', join(folder, 'bob.key')];
    expect((await guard(...given, ...asBob, ...all, '--', 'true')).err).toContain("is ada's, and this guard is bob");
    await writeFile(join(folder, 'policy.yaml'), 'apps: [a/b]\nrequire-masking: true\n');
    expect((await guard(...given, '--', 'true')).err).toContain('require-masking');
  });

  it('ends with a SuperNode that ends well', async () => {
    expect((await guard(...given, '--', 'true')).exitCode).toBe(0);
  });

  it('explains a run that it was never offered work of, and what the policy says of any', async () => {
    const { exitCode, out } = await guard(...given, '--explain', '77');
    expect(exitCode).toBe(0);
    expect(out).toContain('never offered work of run 77');
    expect(out).toMatch(/train +masked +refused: the app "" is not listed \(apps\)/);
    expect(out).toMatch(/evaluate +in the clear +refused: the app "" is not listed \(apps\)/);
    const json = JSON.parse((await guard(...given, '--explain', '77', '--json')).out);
    expect(json).toMatchObject({ runId: '77', run: null, history: [] });
  });
});
