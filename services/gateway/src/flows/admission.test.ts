import { FakeClock } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import type { Pressure } from '../domain/admission.ts';
import { ratesConfig, ratesOf } from '../rates-config.ts';
import { Admission } from './admission.ts';
import { Allowances } from './allowances.ts';

const small = { 'per-second': 1, burst: 100 };
const rates = ratesOf(
  ratesConfig.parse({
    connections: { address: small },
    enrolment: { address: small },
    calls: { address: small, caller: { 'per-second': 1, burst: 50 } },
  }),
  60,
);

const open = ({ unlimited = [] as string[] } = {}) => {
  const clock = new FakeClock();
  const limited: string[] = [];
  let pressure: Pressure = 'calm';
  const admission = new Admission({
    ...{ allowances: new Allowances(rates), clock, unlimited },
    pressure: () => pressure,
    limited: (what, payer) => void limited.push(`${what} ${payer}`),
  });
  const press = (to: Pressure): void => {
    pressure = to;
  };
  /** Calls until it is refused, a thousand at most, and says how many went through. */
  const calls = (caller: Parameters<Admission['arrives']>[1], what: 'calls' | 'enrolment' = 'calls'): number => {
    for (let count = 0; count < 1_000; count += 1) {
      try {
        admission.arrives(what, caller);
      } catch (error) {
        expect(error).toMatchObject({ code: 'RATE_LIMIT' });
        return count;
      }
    }
    return Number.POSITIVE_INFINITY;
  };
  return { admission, calls, limited, press };
};

const address = '192.0.2.1';

describe('a stranger', () => {
  it('pays from the allowance of its address, and is told by what it ran out of', () => {
    const { calls, limited } = open();
    expect(calls({ address })).toBe(100);
    expect(calls({ address: `::ffff:${address}` })).toBe(0);
    expect(calls({ address: '192.0.2.2' })).toBe(100);
    expect(limited).toEqual(['calls address', 'calls address', 'calls address']);
  });

  it('runs out sooner when it comes from many addresses', () => {
    const { calls, limited } = open();
    const counts = Array.from({ length: 8 }, (_, at) => calls({ address: `192.0.2.${at}` }));
    expect(counts).toEqual([100, 100, 100, 100, 100, 0, 0, 0]);
    expect(limited.at(-1)).toBe('calls everybody');
  });

  it('gets back what it paid when it shows who it is, however dear that was, and pays for itself from then on', () => {
    const { admission, calls, press } = open();
    press('busy');
    expect(calls({ address: '192.0.2.9' })).toBe(20);
    // A thousand nodes of one address, one after the other.
    for (let node = 0; node < 1_000; node += 1) {
      const connection = {};
      expect(admission.begins(address, connection)).toBe(true);
      expect(admission.arrives('calls', { address, connection, claims: `key ${node}` })).toBe(null);
      admission.proved(connection, `key ${node}`, `node ${node}`);
    }
    press('calm');
    expect(calls({ address })).toBe(100);
    expect(admission.arrives('calls', { address, connection: {}, claims: 'key 7' })).toBe('node 7');
    expect(calls({ address, claims: 'key 7' })).toBe(48);
    // Of another address it is a stranger still.
    expect(calls({ address: '192.0.2.9', claims: 'key 8' })).toBe(0);
  });

  it('is let in where nodes live, whatever all the others do', () => {
    const { admission, calls } = open();
    const connection = {};
    admission.begins(address, connection);
    admission.proved(connection, 'key', 'node 1');
    for (let other = 10; other < 20; other += 1) calls({ address: `192.0.2.${other}` });
    expect(calls({ address: '192.0.2.9' })).toBe(0);
    expect(calls({ address })).toBe(100);
  });

  it('gets nothing back for bringing nodes in', () => {
    const { admission, calls } = open();
    const connection = {};
    for (let node = 0; node < 100; node += 1) {
      admission.arrives('enrolment', { address, connection });
      admission.proved(connection, `key ${node}`, `node ${node}`);
    }
    expect(calls({ address }, 'enrolment')).toBe(0);
  });

  it('gets nothing back for proofs that were none, and is a stranger again', () => {
    const { admission, calls } = open();
    const connection = {};
    const caller = { address, connection, claims: 'key' };
    admission.arrives('calls', caller);
    admission.proved(connection, 'key', 'node 1');
    for (let replay = 0; replay < 101; replay += 1) {
      if (replay > 0) expect(admission.arrives('calls', caller)).toBe(null);
      else expect(admission.arrives('calls', caller)).toBe('node 1');
      admission.doubted(connection, 'key');
    }
    admission.proved(connection, 'key', 'node 1');
    expect(calls({ address })).toBe(0);
  });

  it('who forges calls in the name of a neighbour takes nothing from it where it has shown who it is', () => {
    const { admission, calls } = open();
    const [own, forger] = [{}, {}];
    for (const connection of [own, forger]) admission.begins(address, connection);
    admission.arrives('calls', { address, connection: own, claims: 'ada' });
    admission.proved(own, 'ada', 'node 1');
    admission.arrives('calls', { address, connection: forger, claims: 'ada' });
    admission.doubted(forger, 'ada');
    expect(calls({ address, connection: forger, claims: 'ada' })).toBeGreaterThan(90);
    expect(calls({ address, connection: own, claims: 'ada' })).toBeGreaterThan(40);
  });

  it('waits under load, and is not let in at all when memory runs out; who is known is', () => {
    const { admission, calls, press } = open();
    const connection = {};
    admission.begins(address, connection);
    admission.arrives('calls', { address, connection });
    admission.proved(connection, 'key', 'node 1');
    press('full');
    expect(calls({ address })).toBe(0);
    expect(admission.begins('192.0.2.99', {})).toBe(false);
    // It may be the node, over a connection of its own for this call.
    expect(admission.begins(address, {})).toBe(true);
    expect(admission.arrives('calls', { address, claims: 'key' })).toBe('node 1');
    press('calm');
    expect(calls({ address })).toBe(100);
  });
});

it('knows addresses that speak for many', () => {
  const { admission, calls } = open({ unlimited: [address] });
  expect(calls({ address })).toBe(Number.POSITIVE_INFINITY);
  expect(admission.begins(address, {})).toBe(true);
  expect(calls({ address: '192.0.2.2' })).toBe(100);
});

it('tells who proved itself on which connection', () => {
  const { admission } = open();
  const proved: object[] = [];
  admission.onProved = (connection) => void proved.push(connection);
  const [tcp, tls, strange] = [{}, {}, {}];
  admission.begins(address, tcp);
  admission.sameConnection(tcp, tls);
  admission.proved(tls, 'key', 'node 1');
  admission.proved(strange, 'key', 'node 1');
  admission.proved(undefined, 'key', 'node 1');
  expect(proved).toEqual([tls]);
});
