import { createHmac, createSecretKey } from 'node:crypto';
import { systemRandom } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import { NONCE_MS, RestKeys, textToSign } from './rest-keys.ts';
import { UsedNonces } from './used-nonces.ts';

const keysOf = (hex: string) => new RestKeys(createSecretKey(hex.repeat(32), 'hex'));
const keys = keysOf('01');
const request = { method: 'POST', target: '/api/v1/updates/T?x=1', bodyHash: 'ab'.repeat(32), nonce: 'n' };
const sign = (secret: string, changes: object = {}) =>
  createHmac('sha256', secret)
    .update(textToSign({ ...request, ...changes }))
    .digest('hex');
const code = (code: string) => expect.objectContaining({ code });

describe('secrets', () => {
  it('are of one node and one salt, and need the key', () => {
    const secret = keys.secretOf(1n, '05'.repeat(32));
    expect(keys.secretOf(1n, '05'.repeat(32))).toBe(secret);
    const others = [
      keys.secretOf(2n, '05'.repeat(32)),
      keys.secretOf(1n, '06'.repeat(32)),
      keysOf('02').secretOf(1n, '05'.repeat(32)),
    ];
    expect(new Set([secret, ...others]).size).toBe(4);
  });

  it('sign everything that decides what a request does', () => {
    const secret = keys.secretOf(1n, '05'.repeat(32));
    expect(keys.isSigned(secret, request, sign(secret))).toBe(true);
    for (const changes of [{ method: 'PUT' }, { target: '/api/v1/updates/T?x=2' }, { bodyHash: '' }, { nonce: 'm' }]) {
      expect(keys.isSigned(secret, request, sign(secret, changes))).toBe(false);
    }
    for (const wrong of ['', 'zz', sign(secret).slice(1), sign(keys.secretOf(2n, ''))]) {
      expect(keys.isSigned(secret, request, wrong)).toBe(false);
    }
  });
});

describe('nonces', () => {
  it('are good at every gateway with the key until their time is over', () => {
    const nonce = keys.nonce(1_000_000, systemRandom.bytes(16));
    expect(nonce).toHaveLength(51);
    expect(() => keysOf('01').checkNonce(nonce, 1_000_000 + NONCE_MS - 1)).not.toThrow();
    expect(() => keys.checkNonce(nonce, 1_000_000 + NONCE_MS)).toThrow(code('REST_NONCE'));
    expect(() => keysOf('02').checkNonce(nonce, 1_000_000)).toThrow(code('REST_NONCE'));
  });

  it('cannot be made up, changed or spelt differently', () => {
    const nonce = keys.nonce(1_000_000, systemRandom.bytes(16));
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const wrong = [...alphabet].map((letter) => nonce.slice(0, -1) + letter).filter((text) => text !== nonce);
    const first = nonce.startsWith('B') ? 'C' : 'B';
    for (const text of ['', 'x', `${first}${nonce.slice(1)}`, `${nonce}A`, ...wrong]) {
      expect(() => keys.checkNonce(text, 1_000_000)).toThrow(code('REST_NONCE'));
    }
  });

  it('are used once, as long as they are good', () => {
    const used = new UsedNonces(1_000);
    used.note(1n, 'a', 1_000, 0);
    expect(() => used.note(1n, 'a', 1_000, NONCE_MS)).toThrow(code('REST_NONCE'));
    const later = NONCE_MS + 15_000;
    expect(() => used.note(1n, 'a', 1_000, later)).toThrow(code('REST_NONCE'));
    expect(() => used.note(1n, 'a', 1_000, 3 * later)).not.toThrow();
  });

  it('that were made before the gateway started are refused, for they may have been used', () => {
    const before = keys.checkNonce(keys.nonce(999_999.5, systemRandom.bytes(16)), 1_000_001);
    const since = keys.checkNonce(keys.nonce(1_000_000.25, systemRandom.bytes(16)), 1_000_001);
    const used = new UsedNonces(1_000_000.25);
    expect(() => used.note(1n, 'a', before, 0)).toThrow(code('REST_NONCE'));
    expect(() => used.note(1n, 'b', since, 0)).not.toThrow();
  });
});
