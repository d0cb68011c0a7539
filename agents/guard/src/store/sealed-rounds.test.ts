import { chmod, copyFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SealedRounds } from './sealed-rounds.ts';

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await temporaryFolder('rounds');
});
afterEach(() => folder.remove());

const secret = 'the seed of a mask';
const file = (name: string) => join(folder.path, 'rounds', name);

describe('secrets of rounds', () => {
  it('come back over a restart, and their bytes are wiped once they are sealed', async () => {
    const state = Buffer.from(secret);
    await (await SealedRounds.open(folder.path)).seal('t1', 'share', state);
    expect(state.every((byte) => byte === 0)).toBe(true);
    expect((await (await SealedRounds.open(folder.path)).open('t1', 'share'))?.toString()).toBe(secret);
  });

  it("are their owner's alone, and nothing of them is on the disk in the clear", async () => {
    await (await SealedRounds.open(folder.path)).seal('t1', 'share', Buffer.from(secret));
    for (const name of ['rounds.key', 'rounds/key.wrapped', 'rounds/t1.share.sealed']) {
      expect((await stat(join(folder.path, name))).mode & 0o077, name).toBe(0);
      expect((await readFile(join(folder.path, name))).includes(secret)).toBe(false);
    }
  });

  it('are lost, not guessed: gone, damaged, of another stage or task, or under another key', async () => {
    const rounds = await SealedRounds.open(folder.path);
    expect(await rounds.open('t1', 'share')).toBe(null);
    await rounds.seal('t1', 'share', Buffer.from(secret));
    await copyFile(file('t1.share.sealed'), file('t1.mask.sealed'));
    await copyFile(file('t1.share.sealed'), file('t2.share.sealed'));
    await writeFile(file('t3.share.sealed'), 'not this');
    expect(await rounds.open('t1', 'mask')).toBe(null);
    expect(await rounds.open('t2', 'share')).toBe(null);
    expect(await rounds.open('t3', 'share')).toBe(null);
    await rm(join(folder.path, 'rounds.key'));
    expect(await (await SealedRounds.open(folder.path)).open('t1', 'share')).toBe(null);
  });

  it('are kept of the stage that is answered last, until the round is over', async () => {
    const rounds = await SealedRounds.open(folder.path);
    for (const [task, stage] of [
      ['t1', 'advertise'],
      ['t1', 'share'],
      ['t10', 'share'],
      ['t2', 'share'],
    ] as const) {
      await rounds.seal(task, stage, Buffer.from(secret));
    }
    const left = async () =>
      (await readdir(join(folder.path, 'rounds'))).filter((name) => name.endsWith('.sealed')).sort();
    await rounds.dropBefore('t1', 'share');
    expect(await left()).toEqual(['t1.share.sealed', 't10.share.sealed', 't2.share.sealed']);
    await rounds.drop('t1');
    expect(await left()).toEqual(['t10.share.sealed', 't2.share.sealed']);
    await rounds.dropAllBut(['t2']);
    expect(await left()).toEqual(['t2.share.sealed']);
    expect((await rounds.open('t2', 'share'))?.toString()).toBe(secret);
  });

  it('are under no key that others may read, and of no task that would be a path', async () => {
    const rounds = await SealedRounds.open(folder.path);
    await expect(rounds.seal('../t', 'share', Buffer.from(secret))).rejects.toMatchObject({
      code: 'REQUEST_MALFORMED',
    });
    await chmod(join(folder.path, 'rounds.key'), 0o644);
    await expect(SealedRounds.open(folder.path)).rejects.toMatchObject({ code: 'GUARD_JOURNAL' });
  });
});
