import { describe, expect, it } from 'vitest';
import { accountMay, type ControlDeed, type ControlPolicy, isLoopback, mayControl, mayStop } from './control-access.ts';
import type { EnrolmentPolicy } from './enrolment.ts';
import type { OperatorRole } from './operator-access.ts';

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
    // where a caller is says nothing then
    ['accounts', 'open', HERE, false, false],
    ['accounts', 'registered', THERE, false, false],
    ['off', 'open', HERE, false, false],
    ['off', 'open', THERE, false, false],
    ['off', 'registered', HERE, false, false],
    ['off', 'registered', THERE, false, false],
  ];

  it.each(table)('%s, enrolment %s, for %s: runs %s, nodes %s', (control, enrolment, peer, runs, nodes) => {
    const may = (deed: ControlDeed) => mayControl({ control, enrolment }, peer, deed);
    for (const deed of ['see-runs', 'start-run', 'stop-run'] as const) expect(may(deed)).toBe(runs);
    for (const deed of ['see-nodes', 'manage-nodes'] as const) expect(may(deed)).toBe(nodes);
  });
});

describe('an account', () => {
  const table: [OperatorRole[], ControlDeed[]][] = [
    [[], []],
    [['viewer'], ['see-runs', 'see-nodes']],
    [['auditor'], ['see-runs', 'see-nodes']],
    [['runner'], ['see-runs', 'see-nodes', 'start-run', 'stop-run']],
    [
      ['viewer', 'runner'],
      ['see-runs', 'see-nodes', 'start-run', 'stop-run'],
    ],
    [['admin'], ['see-runs', 'see-nodes', 'start-run', 'stop-run', 'manage-nodes']],
  ];
  it.each(table)('with roles %j may %j and no more', (roles, deeds) => {
    for (const deed of ['see-runs', 'see-nodes', 'start-run', 'stop-run', 'manage-nodes'] as const)
      expect(accountMay({ roles }, deed), deed).toBe(deeds.includes(deed));
  });

  it('stops its own runs; an admin stops any', () => {
    const ada = { id: 'oidc:1', name: 'ada' };
    for (const roles of [[], ['viewer'], ['auditor']] as OperatorRole[][])
      expect(mayStop({ ...ada, roles }, { id: 'oidc:1' })).toBe(false);
    expect(mayStop({ ...ada, roles: ['runner'] }, { id: 'oidc:1' })).toBe(true);
    expect(mayStop({ ...ada, roles: ['runner'] }, { id: 'token:1' })).toBe(false);
    expect(mayStop({ ...ada, roles: ['runner'] }, undefined)).toBe(false);
    expect(mayStop({ ...ada, roles: ['admin'] }, undefined)).toBe(true);
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
