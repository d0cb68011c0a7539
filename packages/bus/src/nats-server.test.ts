import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDevPki, readTls } from '@aegis/service-kit';
import { eventually, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectBus } from './connect.ts';
import { natsServerBinary } from './nats-binary.ts';
import { type NatsServer, type NatsServerOptions, startNatsServer } from './nats-server.ts';

describe('natsServerBinary', () => {
  it('takes the one the environment names, and only a file', () => {
    expect(natsServerBinary({ AEGIS_NATS_SERVER: process.execPath })).toBe(process.execPath);
    expect(() => natsServerBinary({ AEGIS_NATS_SERVER: '/nowhere/nats' })).toThrow(
      /AEGIS_NATS_SERVER.*\/nowhere\/nats/,
    );
  });
});

describe('private nats-server', () => {
  let folder: TemporaryFolder;
  let options: NatsServerOptions;
  const running: NatsServer[] = [];
  const start = async (more: Partial<NatsServerOptions> = {}): Promise<NatsServer> => {
    const server = await startNatsServer({ ...options, ...more });
    running.push(server);
    return server;
  };
  beforeEach(async () => {
    folder = await temporaryFolder('nats-server');
    options = {
      binary: natsServerBinary(),
      storeDir: join(folder.path, 'store'),
      port: 0,
      logFile: join(folder.path, 'logs/nats.log'),
    };
  });
  afterEach(async () => {
    for (const server of running.splice(0)) await server.stop();
    await folder.remove();
  });

  it('lets in only its own credentials', async () => {
    const server = await start();
    const refused = connectBus({ servers: server.url, name: 'stranger', outageWaitMs: 300 });
    await expect(refused).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });

  it('with a certificate, lets in only who shows one of its authority, beside the credentials', async () => {
    const [pki, strange] = [await openDevPki(join(folder.path, 'pki')), await openDevPki(join(folder.path, 'other'))];
    const hosts = ['localhost', '127.0.0.1'];
    const server = await start({ tls: await pki.issue({ name: 'nats', hosts }) });
    const { credentials, url: servers } = server;
    const own = readTls(await pki.issue({ name: 'client', hosts }));
    const bus = await connectBus({ servers, credentials, name: 'client', tls: own, outageWaitMs: 20_000 });
    expect(bus.ready()).toBe(true);
    await bus.close();
    const refused = { code: 'STORE_UNAVAILABLE' };
    const strangers = { ...readTls(await strange.issue({ name: 'client', hosts })), ca: own.ca };
    for (const more of [{ credentials }, { credentials, tls: strangers }, { tls: own }])
      await expect(connectBus({ servers, name: 'stranger', outageWaitMs: 300, ...more })).rejects.toMatchObject(
        refused,
      );
  });

  it('keeps password and key in 0600 files and off the command line', async () => {
    const server = await start();
    const { uid } = await stat(options.storeDir);
    for (const file of ['nats-server.conf', 'at-rest.key']) {
      const { mode, uid: owner } = await stat(join(options.storeDir, file));
      expect([file, mode & 0o777, owner]).toEqual([file, 0o600, uid]);
    }
    const config = await readFile(join(options.storeDir, 'nats-server.conf'), 'utf8');
    expect(config).toContain(server.credentials.password.reveal());
    if (process.platform === 'linux') {
      const commandLine = await readFile(`/proc/${server.pid}/cmdline`, 'utf8');
      expect(commandLine).not.toContain(server.credentials.password.reveal());
      expect(commandLine.split('\0')[0]).toBe(options.binary);
    }
    expect(JSON.stringify(server.credentials)).not.toContain(server.credentials.password.reveal());
  });

  it('writes nothing readable to disk', async () => {
    const server = await start();
    const bus = await connectBus({ servers: server.url, credentials: server.credentials, name: 'test' });
    await (await bus.bucket('runs')).put('a', Buffer.from('a value nobody may read from disk'));
    await bus.close();
    await server.stop();
    const below = await readdir(join(options.storeDir, 'jetstream'), { recursive: true, withFileTypes: true });
    const files = below.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    expect(files.some((file) => file.endsWith('.blk'))).toBe(true);
    for (const file of files) expect((await readFile(file)).includes('nobody may read')).toBe(false);
  });

  it('refuses a key that is not the one the store was written with', async () => {
    await (await start()).stop();
    await writeFile(join(options.storeDir, 'at-rest.key'), `${'0'.repeat(64)}\n`);
    await expect(start()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      detail: expect.stringContaining('at-rest.key'),
    });
  });

  it('starts over stale pid and port files', async () => {
    const first = await start();
    process.kill(first.pid, 'SIGKILL');
    expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' });
    // The pid may belong to anything by now: here, to this test.
    await writeFile(join(options.storeDir, 'nats-server.pid'), String(process.pid));
    await writeFile(join(options.storeDir, `nats-server_${process.pid}.ports`), '{"nats":["nats://127.0.0.1:1"]}');
    const second = await start({ port: first.port, credentials: first.credentials });
    expect([second.port, second.pid === first.pid]).toEqual([first.port, false]);
  });

  it('ends a server that still holds the store before it starts another', async () => {
    const first = await start();
    const second = await start();
    await first.exited;
    expect(second.pid).not.toBe(first.pid);
  });

  it('says why it did not start', async () => {
    const first = await start();
    const other = { storeDir: join(folder.path, 'other'), port: first.port };
    await expect(start(other)).rejects.toMatchObject({ detail: expect.stringContaining('address already in use') });
    await expect(start({ storeDir: other.storeDir, binary: join(folder.path, 'no-such-file') })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      detail: expect.stringContaining('no-such-file'),
    });
  });

  it('goes down with an owner that was killed', async () => {
    const program = `
      const { startNatsServer } = await import(${JSON.stringify(join(import.meta.dirname, 'nats-server.ts'))});
      const server = await startNatsServer(${JSON.stringify(options)});
      console.log(server.pid);
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(owner.stdout, 'data');
    const pid = Number(String(line));
    expect(isAlive(pid)).toBe(true);
    owner.kill('SIGKILL');
    await eventually(() => !isAlive(pid));
  });
});

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
