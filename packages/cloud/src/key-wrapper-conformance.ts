import { join } from 'node:path';
import { openFile, sealFile } from '@aegis/core-native';
import { conformanceSuite } from '@aegis/testkit';
import { expect, it } from 'vitest';
import type { KeyWrapper } from './key-wrapper.ts';

// What every wrapper must do. `other` is the same one in another process; `stranger` has another key.

export interface Wrappers {
  readonly wrapper: KeyWrapper;
  readonly other: KeyWrapper;
  readonly stranger: KeyWrapper;
  readonly folder: string;
  /** How a key of somebody else is refused. */
  readonly strange: 'KEY_NOT_OPENED' | 'KEYS_UNAVAILABLE';
}

export const keyWrapperSuite = conformanceSuite<Wrappers>('KeyWrapper', (subject) => {
  it('open in another process what was sealed in this one', async () => {
    const { wrapper, other, folder } = subject();
    const { key, wrapped } = await wrapper.generate('model/1');
    await sealFile(join(folder, 'sealed'), Buffer.from('hello'), key, 'c');
    const again = await other.unwrap(wrapped, 'model/1');
    expect(again.renewed).toBeNull();
    expect(String(await openFile(join(folder, 'sealed'), again.key, 'c'))).toBe('hello');
  });

  it('make another key every time', async () => {
    const { wrapper, folder } = subject();
    const [first, second] = [await wrapper.generate('x'), await wrapper.generate('x')];
    await sealFile(join(folder, 'sealed'), Buffer.from('hello'), first.key, 'c');
    await expect(openFile(join(folder, 'sealed'), second.key, 'c')).rejects.toMatchObject({ code: 'SEAL_BROKEN' });
  });

  it('open nothing for another purpose, nothing damaged, and nothing of a stranger', async () => {
    const { wrapper, other, stranger, strange } = subject();
    const { wrapped } = await wrapper.generate('intake/7');
    const refused = { code: 'KEY_NOT_OPENED' };
    await expect(other.unwrap(wrapped, 'intake/8')).rejects.toMatchObject(refused);
    await expect(stranger.unwrap(wrapped, 'intake/7')).rejects.toMatchObject({ code: strange });
    await expect(other.unwrap(Buffer.alloc(0), 'intake/7')).rejects.toMatchObject(refused);
    for (const at of [0, wrapped.length >> 1, wrapped.length - 1]) {
      const changed = Buffer.from(wrapped);
      changed[at] = (changed[at] as number) ^ 1;
      await expect(other.unwrap(changed, 'intake/7'), `byte ${at}`).rejects.toMatchObject(refused);
    }
    expect((await other.unwrap(wrapped, 'intake/7')).renewed).toBeNull();
  });
});
