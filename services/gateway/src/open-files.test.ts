import { describe, expect, it } from 'vitest';
import { connectionsPerAddress, connectionsWithin, defaultConnections } from './open-files.ts';

const limitsOf = (soft: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units\nMax open files            ${soft.padEnd(20)} 524288               files\n`;

describe('connections by the limit of open files', () => {
  it.each([
    ['1024', 768],
    ['20000', 17_500],
    ['1048576', 50_000],
    ['unlimited', 50_000],
    ['300', 256],
  ])('%s files leave room for %i', (soft, connections) => {
    expect(connectionsWithin(limitsOf(soft))).toBe(connections);
  });

  it('are a cautious number where the system does not say', () => {
    expect(connectionsWithin('')).toBe(3_584);
    expect(defaultConnections()).toBeGreaterThanOrEqual(256);
  });

  it('leave one address a quarter, but never less than a site of nodes needs', () => {
    expect([connectionsPerAddress(17_500), connectionsPerAddress(400)]).toEqual([4_375, 256]);
  });
});
