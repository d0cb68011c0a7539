import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { memoryGateway } from '../testing/memory-gateway.ts';
import { admitGuest } from './admit-guest.ts';
import { adoptNodes } from './expire-nodes.ts';
import { heartbeat } from './heartbeat.ts';
import { UnitNames } from './unit-names.ts';

const names = (byte: number) => new UnitNames(createSecretKey(Buffer.alloc(32, byte)));
const a = { fingerprint: 'a'.repeat(64), subject: '' };
const b = { fingerprint: 'b'.repeat(64), subject: '' };

describe('names of units', () => {
  it('are the same for the same key of a node, whatever its id, and after a restart', () => {
    expect(names(1).of(a)).toBe(names(1).of(a));
    expect(names(1).of(a)).not.toBe(names(1).of(b));
  });

  it('are those of the certificate where a node shows one: a new key of the same subject is no new unit', () => {
    const [one, other] = [names(1).of({ ...a, subject: 'O=x, CN=1' }), names(1).of({ ...b, subject: 'O=x, CN=1' })];
    expect(one).toBe(other);
    expect(one).not.toBe(names(1).of({ ...a, subject: 'O=x, CN=2' }));
    expect(one).not.toBe(names(1).of(a));
  });

  it('say nothing about the node without the key of the gateways, and show which key that was', () => {
    const [one, other] = [names(1).of(a), names(2).of(a)];
    expect(one).toMatch(/^[0-9a-f]{8}-[0-9a-f]{32}$/);
    expect(one).not.toContain(a.fingerprint.slice(0, 8));
    expect(one?.slice(0, 8)).toBe(names(1).of(b)?.slice(0, 8));
    expect(one?.slice(0, 8)).not.toBe(other?.slice(0, 8));
    expect(one?.slice(9)).not.toBe(other?.slice(9));
  });

  it('of users are theirs whichever of their nodes it is, and nobody else’s', () => {
    const ada = { ...a, subject: 'O=x, CN=1', user: 'ada' };
    const alsoAda = { ...b, subject: 'O=x, CN=2', user: 'ada' };
    expect(names(1).ofUser(ada)).toBe(names(1).ofUser(alsoAda));
    expect(names(1).ofUser(ada)).not.toBe(names(1).ofUser({ ...ada, user: 'bob' }));
    expect(names(1).ofUser({ ...ada, user: 'O=x, CN=1' })).not.toBe(names(1).of(ada));
    expect(names(1).ofUser({ ...ada, user: '' })).toBeNull();
    // who shows no certificate is nobody's, whatever its record says
    expect(names(1).ofUser({ ...ada, subject: '' })).toBeNull();
  });

  it('are told with presence: changes, snapshots, and after a restart', async () => {
    const { gateway, node, told, snapshots } = await memoryGateway({}, names(1));
    const news = { nodeId: 1n, online: true, unit: names(1).of(node) };
    await heartbeat(gateway, node, 30);
    expect(told).toEqual([news]);
    await adoptNodes(gateway);
    expect(snapshots).toEqual([[news]]);
  });

  it('are told of the user too, and told anew when a certificate names another', async () => {
    const { gateway, node, told } = await memoryGateway({}, names(1));
    const ada = { ...node, subject: 'O=x, CN=1', user: 'ada' };
    await heartbeat(gateway, ada, 30);
    await heartbeat(gateway, ada, 30);
    await heartbeat(gateway, { ...ada, user: 'bob' }, 30);
    expect(told.map(({ user }) => user)).toEqual([names(1).ofUser(ada), names(1).ofUser({ ...ada, user: 'bob' })]);
  });

  it('are not made for a client without identity, nor where the gateway has no key', async () => {
    const { gateway, told } = await memoryGateway({}, names(1));
    admitGuest(gateway, 30);
    expect(told).toEqual([expect.not.objectContaining({ unit: expect.anything() })]);
    const keyless = await memoryGateway();
    await heartbeat(keyless.gateway, keyless.node, 30);
    expect(keyless.told).toEqual([{ nodeId: 1n, online: true }]);
  });
});
