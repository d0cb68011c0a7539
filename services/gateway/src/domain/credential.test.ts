import { describe, expect, it } from 'vitest';
import { actingNode, checkTimestamp, parseTimestamp, sameKey } from './credential.ts';
import { registerNode, removeNode } from './node.ts';

const text = '2026-11-21T20:30:41.932108+00:00';
const signedAt = Date.UTC(2026, 10, 21, 20, 30, 41) + 932.108;
const node = registerNode({ nodeId: 7n, publicKey: '', fingerprint: 'f', name: '', selfRegistered: true }, 0);

describe('timestamp', () => {
  it('is read to the microsecond', () => {
    expect(parseTimestamp(text)).toBeCloseTo(signedAt, 2);
    expect(parseTimestamp('2026-11-21T20:30:41+00:00')).toBe(Date.UTC(2026, 10, 21, 20, 30, 41));
  });

  it.each([
    ['good_almost_expired', 304.9, true],
    ['good_slightly_ahead', -4.9, true],
    ['bad_expired', 305, false],
    ['bad_ahead', -5, false],
  ])('%s: an age of %d s is accepted: %s', (_name, age, isGood) => {
    const check = () => checkTimestamp(text, signedAt + age * 1000);
    if (isGood) expect(check).not.toThrow();
    else expect(check).toThrow(expect.objectContaining({ code: 'NODE_TIMESTAMP' }));
  });

  it.each(['', 'now', '2026-11-21T20:30:41.932108', '2026-13-41T20:30:41+00:00', '1763757041'])('refuses %j', (bad) => {
    expect(() => checkTimestamp(bad, signedAt)).toThrow(expect.objectContaining({ code: 'NODE_TIMESTAMP' }));
  });
});

describe('who acts', () => {
  it('is the node the key belongs to', () => {
    expect(actingNode(node, 7n)).toBe(node);
    expect(actingNode(node, null)).toBe(node);
  });

  it.each([
    ['an unknown key', null, 7n, 'NODE_KEY_UNKNOWN'],
    ["someone else's node id", node, 8n, 'NODE_IDENTITY'],
    ['a removed node', removeNode(node, 1), 7n, 'NODE_KEY_UNKNOWN'],
  ])('refuses %s', (_name, record, claimed, code) => {
    expect(() => actingNode(record, claimed)).toThrow(expect.objectContaining({ code }));
  });

  it('refuses to register a key other than the one that signed', () => {
    expect(() => sameKey(Buffer.from('a'), Buffer.from('a'))).not.toThrow();
    expect(() => sameKey(Buffer.from('a'), Buffer.from('b'))).toThrow(
      expect.objectContaining({ code: 'NODE_IDENTITY' }),
    );
  });
});
