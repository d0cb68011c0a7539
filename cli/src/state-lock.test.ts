import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identityOf } from './processes/process-identity.ts';
import { lockHolder, lockState } from './state-lock.ts';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-lock-'));
  file = join(folder, 'lock');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('the lock of a state directory', () => {
  it('is held by one, named to the second, and free again afterwards', async () => {
    const unlock = await lockState(file, folder);
    expect(await lockHolder(file)).toMatchObject({ pid: process.pid });
    await expect(lockState(file, folder)).rejects.toMatchObject({
      code: 'STATE_LOCKED',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await unlock();
    expect(await lockHolder(file)).toBeUndefined();
    await (await lockState(file, folder))();
    expect(await readdir(folder)).toEqual([]);
  });

  it('of a process that is gone counts for nothing', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    const identity = identityOf(child.pid ?? 0);
    await once(child, 'exit');
    await writeFile(file, JSON.stringify(identity));
    expect(await lockHolder(file)).toBeUndefined();
    await (await lockState(file, folder))();
  });

  it('of a process whose number was given to another one counts for nothing', async () => {
    await writeFile(file, JSON.stringify({ ...identityOf(process.pid), started: '1' }));
    await (await lockState(file, folder))();
  });

  it('of another machine is respected: nobody can know', async () => {
    await writeFile(file, JSON.stringify({ pid: 1, host: `not-${hostname()}`, started: '1' }));
    await expect(lockState(file, folder)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
  });

  it('that is damaged counts for nothing', async () => {
    await writeFile(file, 'half a li');
    await (await lockState(file, folder))();
  });

  it('goes to exactly one of many who find a dead one', async () => {
    await writeFile(file, JSON.stringify({ ...identityOf(process.pid), started: '1' }));
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockState(file, folder)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('goes to one at a time of many that come and go', async () => {
    let [holding, most, taken] = [0, 0, 0];
    const contend = async () => {
      for (let turn = 0; turn < 20; turn += 1) {
        const release = await lockState(file, folder).catch(() => null);
        if (release === null) continue;
        holding += 1;
        [most, taken] = [Math.max(most, holding), taken + 1];
        await new Promise(setImmediate);
        holding -= 1;
        await release();
      }
    };
    await writeFile(file, 'a dead one');
    await Promise.all(Array.from({ length: 10 }, contend));
    expect(most).toBe(1);
    expect(taken).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual([]);
  });
});
