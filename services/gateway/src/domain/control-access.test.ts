import { describe, expect, it } from 'vitest';
import { type ControlPolicy, isLoopback, mayControl } from './control-access.ts';
import type { EnrolmentPolicy } from './enrolment.ts';

const [HERE, THERE] = ['127.0.0.1', '192.0.2.7'];

describe("Flower's Control API", () => {
  const table: [ControlPolicy, EnrolmentPolicy, string, runs: boolean, nodes: boolean][] = [
    ['loopback', 'open', HERE, true, true],
    ['loopback', 'open', THERE, false, false],
    ['loopback', 'registered', HERE, true, true],
    ['loopback', 'registered', THERE, false, false],
    ['open', 'open', HERE, true, true],
    ['open', 'open', THERE, true, true],
    ['open', 'registered', HERE, true, true],
    ['open', 'registered', THERE, true, false],
    ['off', 'open', HERE, false, false],
    ['off', 'open', THERE, false, false],
    ['off', 'registered', HERE, false, false],
    ['off', 'registered', THERE, false, false],
  ];

  it.each(table)('%s, enrolment %s, for %s: runs %s, nodes %s', (control, enrolment, peer, runs, nodes) => {
    expect(mayControl({ control, enrolment }, peer, 'runs')).toBe(runs);
    expect(mayControl({ control, enrolment }, peer, 'nodes')).toBe(nodes);
  });
});

describe('an address', () => {
  it.each(['127.0.0.1', '127.255.1.2', '::1', '::ffff:127.0.0.1', '::FFFF:127.9.9.9'])(
    '%s is on this machine',
    (text) => {
      expect(isLoopback(text)).toBe(true);
    },
  );

  it.each([
    ...['', 'unknown', 'localhost', '0.0.0.0', '128.0.0.1', '10.127.0.1', '127.0.0.1.example.org', '1127.0.0.1'],
    ...['::', '::2', '::11', 'fe80::1', '::ffff:10.0.0.1', '2001:db8::127.0.0.1', '127.0.0.1:80', '127.0.0'],
  ])('%j is not', (text) => {
    expect(isLoopback(text)).toBe(false);
  });
});
