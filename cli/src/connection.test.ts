import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatAddress, parseAddress, resolveConnection } from './connection.ts';
import {
  prepareStateDirectory,
  readConnectionFile,
  stateDirectory,
  stateRoot,
  writeConnectionFile,
} from './state-directory.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-cli-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('an address', () => {
  for (const [text, host, port] of [
    ['gateway.example:9443', 'gateway.example', 9443],
    ['127.0.0.1:1', '127.0.0.1', 1],
    ['[::1]:9443', '::1', 9443],
    ['https://gateway.example:443/', 'gateway.example', 443],
  ] as const) {
    it(`${text} is host and port`, () => {
      expect(parseAddress(text)).toEqual({ host, port });
      expect(parseAddress(formatAddress({ host, port }))).toEqual({ host, port });
    });
  }

  for (const text of [
    '',
    'gateway',
    ':9443',
    'a b:1',
    'gateway:0',
    'gateway:70000',
    'gateway:x',
    '::1:9443',
    'a:1/path',
  ]) {
    it(`"${text}" is refused as a usage error`, () => {
      expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'ADDRESS', exitCode: 2 }));
    });
  }
});

describe('the connection', () => {
  const suiteIn = async (insecure = false) => {
    const state = stateDirectory(folder);
    const ca = join(folder, 'ca.pem');
    await writeFile(ca, 'local authority');
    await writeFile(state.operatorToken, 'local-token\n');
    const file = { address: '127.0.0.1:9443', ca: insecure ? null : ca, tokenFile: state.operatorToken, insecure };
    await writeConnectionFile(state, file);
  };

  it('is that of the suite in the state directory when nothing is said', async () => {
    await suiteIn();
    expect(await resolveConnection({}, { AEGIS_HOME: folder })).toEqual({
      host: '127.0.0.1',
      port: 9443,
      ca: 'local authority',
      insecure: false,
      token: 'local-token',
    });
  });

  it('takes plain text from the file only for the address of the file', async () => {
    await suiteIn(true);
    expect(await resolveConnection({ state: folder })).toMatchObject({ insecure: true, ca: undefined });
    expect(await resolveConnection({ state: folder, address: 'elsewhere:9443' })).toMatchObject({ insecure: false });
  });

  it('does not trust the local authority for another address, nor shows it the local token', async () => {
    await suiteIn();
    expect(await resolveConnection({ state: folder, address: 'elsewhere:443' })).toMatchObject({
      ca: undefined,
      token: '',
    });
  });

  it('follows the options before the file', async () => {
    await suiteIn();
    const ca = join(folder, 'other.pem');
    const tokenFile = join(folder, 'other.token');
    await writeFile(ca, 'other authority');
    await writeFile(tokenFile, ' other-token \n');
    expect(await resolveConnection({ state: folder, address: 'elsewhere:443', ca, tokenFile })).toEqual({
      host: 'elsewhere',
      port: 443,
      ca: 'other authority',
      insecure: false,
      token: 'other-token',
    });
  });

  it('without any suite or option says what to type', async () => {
    const refused = expect.objectContaining({
      code: 'NO_SERVER',
      todo: expect.stringContaining('aegis up'),
      exitCode: 3,
    });
    await expect(resolveConnection({ state: folder })).rejects.toEqual(refused);
  });

  it('with a token file that is not there says so', async () => {
    await suiteIn();
    await rm(stateDirectory(folder).operatorToken);
    await expect(resolveConnection({ state: folder })).rejects.toMatchObject({ code: 'TOKEN_FILE', exitCode: 4 });
  });

  it('from a damaged file is refused', async () => {
    await writeFile(stateDirectory(folder).connection, '{"address": 7');
    await expect(readConnectionFile(stateDirectory(folder))).rejects.toMatchObject({ code: 'CONNECTION_FILE' });
  });
});

describe('the state directory', () => {
  it('is --state, else $AEGIS_HOME, else .aegis here', () => {
    expect(stateRoot('/given', { AEGIS_HOME: '/home' })).toBe('/given');
    expect(stateRoot(undefined, { AEGIS_HOME: '/home' })).toBe('/home');
    expect(stateRoot(undefined, {})).toBe(join(process.cwd(), '.aegis'));
  });

  it('that cannot be made is refused in words', async () => {
    await writeFile(join(folder, 'file'), '');
    const state = stateDirectory(join(folder, 'file', 'state'));
    await expect(prepareStateDirectory(state)).rejects.toMatchObject({ code: 'STATE_NOT_WRITABLE' });
  });
});
