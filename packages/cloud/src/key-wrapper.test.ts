import { join } from 'node:path';
import { openFile, sealFile } from '@aegis/core-native';
import { temporaryFolder, withAws } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { kmsConfig } from './config.ts';
import { keyFileWrapper } from './key-wrapper.ts';
import { keyWrapperSuite } from './key-wrapper-conformance.ts';
import { KmsWrapper } from './kms-wrapper.ts';

const aws = withAws();

const kms = (keyId: string, more: object = {}): KmsWrapper =>
  new KmsWrapper(kmsConfig.parse({ 'key-id': keyId, endpoint: aws().endpoint, ...more }));

// moto denies access where KMS says IncorrectKeyException
const denied = 'KEYS_UNAVAILABLE' as const;

keyWrapperSuite('key file', async () => {
  const folder = await temporaryFolder('wrapper');
  const at = (name: string) => keyFileWrapper(join(folder.path, name), { create: true });
  const wrapper = at('key');
  const subject = {
    wrapper,
    other: at('key'),
    stranger: at('stranger'),
    folder: folder.path,
    strange: 'KEY_NOT_OPENED' as const,
  };
  return { subject, end: () => folder.remove() };
});

keyWrapperSuite('KMS', async () => {
  const folder = await temporaryFolder('wrapper');
  const [mine, strange] = [await aws().key(), await aws().key()];
  const subject = {
    wrapper: kms(mine),
    other: kms(mine),
    stranger: kms(strange),
    folder: folder.path,
    strange: denied,
  };
  return { subject, end: () => folder.remove() };
});

describe('the KMS wrapper', () => {
  it('opens what a former key wrapped, and has it wrapped again by the present one', async () => {
    const folder = await temporaryFolder('wrapper');
    const [before, now] = [await aws().key(), await aws().key()];
    const { key, wrapped } = await kms(before).generate('models');
    await sealFile(join(folder.path, 'sealed'), Buffer.from('hello'), key, 'c');
    const { key: same, renewed } = await kms(now, { 'former-key-ids': [before] }).unwrap(wrapped, 'models');
    expect(String(await openFile(join(folder.path, 'sealed'), same, 'c'))).toBe('hello');
    // the former key is not needed for it any more
    const { key: again } = await kms(now).unwrap(renewed ?? Buffer.alloc(0), 'models');
    expect(String(await openFile(join(folder.path, 'sealed'), again, 'c'))).toBe('hello');
    await expect(kms(now).unwrap(wrapped, 'models')).rejects.toMatchObject({ code: denied });
    await folder.remove();
  });

  it('needs nobody for a key that it opened before, and says who is missing for another', async () => {
    const wrapper = kms(await aws().key(), { 'timeout-seconds': 1 });
    const { wrapped } = await wrapper.generate('intake/1');
    aws().shut();
    try {
      await wrapper.unwrap(wrapped, 'intake/1');
      await expect(wrapper.generate('intake/2')).rejects.toMatchObject({
        code: 'KEYS_UNAVAILABLE',
        message: expect.stringContaining('KMS was to make a data key'),
      });
    } finally {
      aws().open();
    }
    await wrapper.generate('intake/2');
  });

  it('forgets the keys that were not used for longest', async () => {
    const wrapper = kms(await aws().key());
    const { wrapped } = await wrapper.generate('first');
    await Promise.all(Array.from({ length: 256 }, (_, i) => wrapper.generate(`run ${i}`)));
    aws().shut();
    await expect(wrapper.unwrap(wrapped, 'first')).rejects.toMatchObject({ code: 'KEYS_UNAVAILABLE' });
    aws().open();
    await wrapper.unwrap(wrapped, 'first');
  });

  it('takes a key that does not exist for a wrong configuration, and says which line it is', async () => {
    const refused = { code: 'CONFIG_INVALID', message: expect.stringContaining('keys.kms.key-id') };
    await expect(kms('alias/nobody').generate('x')).rejects.toMatchObject(refused);
  });

  it('does not take what a key file wrapped', async () => {
    const folder = await temporaryFolder('wrapper');
    const { wrapped } = await keyFileWrapper(join(folder.path, 'key'), { create: true }).generate('models');
    await expect(kms(await aws().key()).unwrap(wrapped, 'models')).rejects.toMatchObject({
      code: 'KEY_NOT_OPENED',
      message: expect.stringContaining('not of KMS'),
    });
    await folder.remove();
  });
});
