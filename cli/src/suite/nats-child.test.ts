import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectBus } from '@aegis/bus';
import { silentLogger, systemClock } from '@aegis/service-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prepareStateDirectory, stateDirectory } from '../state-directory.ts';
import { findNatsServer, startNatsChild } from './nats-child.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-nats-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const isThere = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe('the private nats-server', () => {
  it('that crashes is started again on the same store, and connected clients find it', async () => {
    const state = stateDirectory(folder);
    await prepareStateDirectory(state);
    const binary = await findNatsServer(process.env);
    const nats = await startNatsChild(binary, state, { log: silentLogger, clock: systemClock });
    const { url, credentials } = nats;
    const bus = await connectBus({ servers: url, credentials, name: 'test', replicas: 1 });
    try {
      const bucket = await bus.bucket('runs');
      await bucket.put('before', Buffer.from('kept'));
      for (let crash = 0; crash < 2; crash++) {
        const pid = nats.pid();
        process.kill(pid, 'SIGKILL');
        while (nats.pid() === pid) await sleep(20);
        expect((await bucket.get('before'))?.value.toString()).toBe('kept');
        await bucket.put(`after-${crash}`, Buffer.from('written'));
      }
    } finally {
      await bus.close();
      await nats.stop();
    }
    expect(isThere(nats.pid())).toBe(false);
  });

  it('that is not installed is named, with the command that installs it', async () => {
    await expect(findNatsServer({ AEGIS_NATS_SERVER: join(folder, 'none') })).rejects.toMatchObject({
      code: 'NATS_MISSING',
      message: expect.stringContaining(join(folder, 'none')),
      todo: expect.stringContaining('make setup'),
    });
  });
});
