import { describe, expect, it } from 'vitest';
import {
  activateNode,
  checkHeartbeatSeconds,
  deactivateNode,
  expireNode,
  isAtWork,
  type NodeRecord,
  nodeState,
  onlineUntil,
  registerNode,
  removeNode,
  reviveNode,
} from './node.ts';

const now = 1_750_000_000_000;
const fresh = registerNode(
  { nodeId: 7n, publicKey: 'pem', fingerprint: 'f00', name: 'site-a', selfRegistered: false },
  now,
);
const http = { heartbeatSeconds: 30, flwrVersion: '1.41.0', dialect: 'http' } as const;
const active = activateNode(fresh, http, now + 1);

describe('life of a node', () => {
  const lives: [string, NodeRecord, { atWork: boolean; offline: string }][] = [
    ['registered', fresh, { atWork: false, offline: 'registered' }],
    ['active', active, { atWork: true, offline: 'offline' }],
    ['deactivated', deactivateNode(active, now + 2), { atWork: false, offline: 'offline' }],
    ['expired', expireNode(active, now + 2), { atWork: true, offline: 'offline' }],
    ['back from expiry', reviveNode(expireNode(active, now + 2), now + 3), { atWork: true, offline: 'offline' }],
    [
      'active again',
      activateNode(deactivateNode(active, now + 2), http, now + 3),
      { atWork: true, offline: 'offline' },
    ],
    ['removed', removeNode(active, now + 2), { atWork: false, offline: 'removed' }],
  ];

  it.each(lives)('%s: at work or not, and what people read without heartbeats', (_name, record, expected) => {
    expect(isAtWork(record)).toBe(expected.atWork);
    expect(nodeState(record, false)).toBe(expected.offline);
  });

  it('is online while it shows signs of life, unless it was removed', () => {
    expect(nodeState(active, true)).toBe('online');
    expect(nodeState(removeNode(active, now), true)).toBe('removed');
  });

  it('refuses to activate a removed node', () => {
    expect(() => activateNode(removeNode(active, now), http, now)).toThrow(
      expect.objectContaining({ code: 'NODE_KEY_UNKNOWN' }),
    );
  });
});

describe('heartbeats', () => {
  it('stays online for two intervals after the last sign of life', () => {
    expect(onlineUntil(now, 10, false)).toBe(now + 20_000);
    expect(onlineUntil(now, 30, true)).toBe(now + 60_000);
    expect(onlineUntil(now, 1800, true)).toBe(now + 3_600_000);
  });

  it('may not be silent for longer than a minute while it waits for work, whatever interval it announced', () => {
    expect(onlineUntil(now, 1800, false)).toBe(now + 60_000);
  });

  it.each([10, 30, 1800])('takes an interval of %d s', (seconds) => {
    expect(() => checkHeartbeatSeconds(seconds)).not.toThrow();
  });

  it.each([9.99, 1800.1, 0, -30, Number.NaN, Number.POSITIVE_INFINITY])('refuses an interval of %d s', (seconds) => {
    expect(() => checkHeartbeatSeconds(seconds)).toThrow(expect.objectContaining({ code: 'HEARTBEAT_INTERVAL' }));
  });
});
