import { expect, it } from 'vitest';
import { RegistrationRate } from './registration-rate.ts';

const refused = (rate: RegistrationRate, address: string, at: number): boolean => {
  try {
    rate.take(address, at);
    return false;
  } catch {
    return true;
  }
};

it('is of each address, or of each network of IPv6, for a minute', () => {
  const rate = new RegistrationRate(2);
  const took = (address: string, at: number) => !refused(rate, address, at);
  expect([took('10.0.0.1', 0), took('10.0.0.1', 1), took('10.0.0.1', 59_999)]).toEqual([true, true, false]);
  expect(took('10.0.0.2', 2)).toBe(true);
  expect([took('::ffff:10.0.0.3', 3), took('::ffff:10.0.0.4', 3), took('::ffff:10.0.0.3', 3)]).not.toContain(false);
  expect([took('2001:db8::1', 4), took('2001:db8::2:3', 5), took('2001:db8:0:0:1:2:3:4', 6)]).toEqual([
    true,
    true,
    false,
  ]);
  expect([took('2001:db8:1::1', 7), took('::1', 8), took('fe80::1', 9)]).not.toContain(false);
  expect(took('10.0.0.1', 60_000)).toBe(true);
});
