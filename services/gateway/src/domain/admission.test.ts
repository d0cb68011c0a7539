import { expect, it } from 'vitest';
import { type CallClass, classOf, comesBack, householdOf, type Pressure, priceOf } from './admission.ts';

it('holds an address to be one, or a network of IPv6', () => {
  expect(householdOf('10.0.0.1')).toBe('10.0.0.1');
  expect(householdOf('::ffff:10.0.0.1')).toBe('10.0.0.1');
  const network = '2001:db8:0:0';
  expect(['2001:db8::1', '2001:db8::2:3', '2001:db8:0:0:1:2:3:4'].map(householdOf)).toEqual([
    network,
    network,
    network,
  ]);
  expect(new Set(['2001:db8:1::1', '::1', 'fe80::1', ''].map(householdOf)).size).toBe(4);
});

it('knows what a method is', () => {
  expect(['register-node', 'create-node'].map((method) => classOf('fleet', method))).toEqual([
    'enrolment',
    'enrolment',
  ]);
  expect(['activate-node', 'pull-messages', 'push-messages'].map((method) => classOf('fleet', method))).toEqual([
    'calls',
    'calls',
    'calls',
  ]);
  expect(classOf('fleet', 'push-object')).toBe('uploads');
  expect(classOf('control', 'register-node')).toBe('control');
});

it('asks more of strangers under load, most where they get it back, and lets none in when memory runs out', () => {
  const price = (what: CallClass, pressure: Pressure, burst = 20_000, isAtHome = false) =>
    priceOf(what, { pressure, isAtHome }, { perSecond: 1, burst });
  expect([price('calls', 'calm'), price('calls', 'busy'), price('enrolment', 'busy')]).toEqual([1, 100, 4]);
  expect([price('calls', 'busy', 100), price('calls', 'busy', 1), price('registrations', 'busy')]).toEqual([5, 1, 1]);
  expect([price('calls', 'busy', 20_000, true), price('calls', 'calm', 20_000, true)]).toEqual([4, 1]);
  expect([price('calls', 'full', 20_000, true), price('connections', 'full')]).toEqual([Infinity, Infinity]);
  expect(price('connections', 'full', 20_000, true)).toBe(4);
  expect([comesBack('connections'), comesBack('enrolment')]).toEqual([true, false]);
});
