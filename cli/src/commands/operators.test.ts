import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { run } from '../program.ts';
import { keeping } from '../terminal.test-support.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-operators-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const operators = async (...args: string[]) => {
  const [stdout, stderr] = [keeping(), keeping()];
  const code = await run(['operators', ...args, '--state', folder], {
    ...{ stdout: stdout.stream, stderr: stderr.stream, env: {}, signal: new AbortController().signal },
  });
  return { code, out: stdout.text(), err: stderr.text() };
};
const kept = () => readFile(join(folder, 'operators.json'), 'utf8');

describe('aegis operators', () => {
  it('makes a token, shows it once, and keeps its hash alone', async () => {
    const { code, out } = await operators('add', 'ada', '--role', 'viewer', '--json');
    expect(code).toBe(0);
    const { token } = JSON.parse(out);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(await kept()).not.toContain(token);
    expect(JSON.parse(await kept()).operators).toEqual([
      { name: 'ada', role: 'viewer', sha256: createHash('sha256').update(token).digest('hex') },
    ]);
    expect((await stat(join(folder, 'operators.json'))).mode & 0o777).toBe(0o600);
    const shown = await operators('ls');
    expect(shown.out).toMatch(/ada +viewer +taken back/);
    expect(shown.out).not.toContain(token);
  });

  it('takes a token back, and gives a name to one at a time', async () => {
    await operators('add', 'ada', '--role', 'runner', '--expires', '12h');
    expect((await operators('add', 'ada', '--role', 'admin')).err).toContain('already');
    expect((await operators('add', 'operator', '--role', 'admin')).code).toBe(1);
    expect(JSON.parse((await operators('ls', '--json')).out)).toMatchObject([
      { role: 'runner', expires: expect.stringMatching(/Z$/) },
    ]);
    expect((await operators('rm', 'ada')).code).toBe(0);
    expect(JSON.parse(await kept()).operators).toEqual([]);
    expect((await operators('rm', 'ada')).err).toContain('no operator ada');
  });

  it('knows no other roles', async () => {
    expect((await operators('add', 'ada', '--role', 'root')).code).toBe(2);
    expect((await operators('add', 'Ada L', '--role', 'viewer')).code).toBe(2);
    expect((await operators('add', 'ada')).code).toBe(2);
  });
});

describe('aegis operators login', () => {
  const login = async (...args: string[]) => {
    const [stdout, stderr] = [keeping(), keeping()];
    const token = join(folder, 'token');
    await writeFile(token, 'a-token-of-somebody\n', { mode: 0o600 });
    const code = await run(
      ['operators', 'login', '--address', 'fl.example.org:9443', '--token-file', token, '--state', folder, ...args],
      {
        ...{ stdout: stdout.stream, stderr: stderr.stream, signal: new AbortController().signal },
        env: { FLWR_HOME: join(folder, 'flwr') },
      },
    );
    return { code, said: stdout.text() + stderr.text() };
  };
  const file = () => join(folder, 'flwr', 'credentials.yaml');

  it('writes the token where flwr looks for that server, and leaves others alone', async () => {
    await mkdir(join(folder, 'flwr'));
    await writeFile(file(), 'flower.account-auth.other:1.authn-type: b2lkYw==\n');
    const { code, said } = await login();
    expect(code).toBe(0);
    expect(said).not.toContain('a-token-of-somebody');
    expect(parse(await readFile(file(), 'utf8'))).toEqual({
      'flower.account-auth.other:1.authn-type': 'b2lkYw==',
      'flower.account-auth.fl.example.org:9443.authn-type': Buffer.from('oidc').toString('base64'),
      'flower.account-auth.fl.example.org:9443.oidc-access-token':
        Buffer.from('a-token-of-somebody').toString('base64'),
      'flower.account-auth.fl.example.org:9443.oidc-refresh-token': Buffer.from('none').toString('base64'),
    });
    expect((await stat(file())).mode & 0o777).toBe(0o600);
  });

  it('leaves a file alone that it does not understand', async () => {
    await mkdir(join(folder, 'flwr'));
    await writeFile(file(), '- no\n- list of ours');
    expect(await login()).toMatchObject({ code: 1, said: expect.stringContaining('no list of credentials') });
    expect(await readFile(file(), 'utf8')).toBe('- no\n- list of ours');
  });
});
