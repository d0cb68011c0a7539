import { FakeClock } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { claimOf } from '../flows/authenticate-node.ts';
import { openAdmission } from '../testing/open-admission.ts';
import { bodyAdmission } from './body-admission.ts';
import { BodyBudget } from './body-budget.ts';

const MIB = 2 ** 20;

describe('a large body', () => {
  it('under the key of a neighbour, with a time of long ago, makes its sender a stranger', () => {
    const clock = new FakeClock();
    const admission = openAdmission(clock);
    const key = Buffer.from('the public key of a node');
    const address = '192.0.2.1';
    const connection = {};
    admission.begins(address, connection);
    admission.proved(connection, claimOf(key), 'node 7');
    const admit = bodyAdmission({ budget: new BodyBudget(8 * MIB), admission, now: () => clock.now() });
    const headers: Record<string, Buffer> = { 'flwr-public-key': key, 'flwr-signature': Buffer.from('none') };
    const head = {
      dialect: 'grpc' as const,
      peer: address,
      connection,
      binary: (name: string) => headers[name] ?? null,
      text: (name: string) => (name === 'flwr-timestamp' ? '2001-01-01T00:00:00+00:00' : ''),
    };
    const caller = { address, connection, claims: claimOf(key) };
    expect(admission.arrives('calls', caller)).toBe('node 7');
    expect(() => admit({ api: 'fleet', method: 'push-object' }, head, MIB)).toThrow(/timestamp is too old/);
    expect(admission.arrives('calls', caller)).toBe(null);
  });
});
