import { generateKeyPairSync, sign } from 'node:crypto';
import type { NodeCredential } from '@aegis/flower-wire';
import { describe, expect, it } from 'vitest';
import { SuperNodeKey } from './supernode-key.ts';

let now = Date.parse('2026-11-28T00:00:00Z');
let passed = 0;
const clock = { now: () => now, monotonic: () => passed };
const pass = (ms: number): void => {
  now += ms;
  passed += ms;
};

const newNode = (): (() => NodeCredential) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
  const publicKeyPem = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }));
  return () => {
    const timestamp = new Date(now).toISOString();
    const signature = sign('sha256', Buffer.from(timestamp), privateKey);
    const by = { dialect: 'http', flwrVersion: '1.41.0', connection: {}, isForwarded: () => false } as const;
    return { publicKeyPem, timestamp, signature, ...by };
  };
};

describe('the key of a SuperNode that is started elsewhere', () => {
  it('is the first that registers, until it was silent for three heartbeats', async () => {
    let followed = 0;
    const key = new SuperNodeKey(clock, () => {
      followed += 1;
    });
    const [first, second] = [newNode(), newNode()];
    await key.register(first());
    pass(80_000);
    await key.check(first());
    pass(80_000);
    await expect(key.register(second())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(key.check(second())).rejects.toMatchObject({ code: 'NODE_KEY_UNKNOWN' });
    expect(followed).toBe(0);
    pass(10_000);
    await key.register(second());
    expect(followed).toBe(1);
    await key.check(second());
    await expect(key.check(first())).rejects.toMatchObject({ code: 'NODE_KEY_UNKNOWN' });
  });

  it('stays when somebody sets the clock forward, and goes when it is set back', async () => {
    const key = new SuperNodeKey(clock, () => {});
    const [first, second] = [newNode(), newNode()];
    await key.register(first());
    now += 3_600_000;
    await expect(key.register(second())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await key.check(first());
    now -= 7_200_000;
    passed += 90_000;
    await key.register(second());
  });

  it('may come back after it took leave, if nobody followed', async () => {
    const key = new SuperNodeKey(clock, () => {});
    const [first, second] = [newNode(), newNode()];
    await key.register(first());
    key.leave();
    await key.check(first());
    await key.register(first());
    await expect(key.register(second())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

it('of one that the guard starts is no other, however long it is silent', async () => {
  const key = new SuperNodeKey(clock);
  const [first, second] = [newNode(), newNode()];
  await key.register(first());
  key.leave();
  pass(1_000_000);
  await expect(key.register(second())).rejects.toMatchObject({ code: 'NODE_KEY_UNKNOWN' });
  key.forget();
  await key.register(second());
});
