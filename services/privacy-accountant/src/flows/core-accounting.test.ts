import { describe, expect, it } from 'vitest';
import { readEvents } from '../domain/charges.ts';
import { closedFormAccounting } from '../testing/closed-form-accounting.ts';
import { gaussian, tree } from '../testing/world.ts';
import { coreAccounting } from './core-accounting.ts';

const core = coreAccounting();
const gauss = (noise: number, count = 1) => readEvents(core.check([gaussian(noise, count)]), 'node');

describe('the core’s accounting', () => {
  it('agrees with the formulas one can check on paper', () => {
    for (const [epsilon, delta] of [
      [1, 1e-5],
      [0.1, 1e-6],
      [8, 1e-5],
    ] as const) {
      const order = core.orderFor(epsilon, delta);
      expect(order).toBe(closedFormAccounting.orderFor(epsilon, delta));
      expect(core.allowance(order, epsilon, delta)).toBeCloseTo(
        closedFormAccounting.allowance(order, epsilon, delta),
        9,
      );
      const [event = ''] = gauss(2).keys();
      expect(core.renyi(event, order)).toBeCloseTo(closedFormAccounting.renyi(event, order), 9);
      // rounded so that nothing is given away
      expect(core.renyi(event, order)).toBeGreaterThanOrEqual(closedFormAccounting.renyi(event, order));
      expect(core.allowance(order, epsilon, delta)).toBeLessThanOrEqual(
        closedFormAccounting.allowance(order, epsilon, delta),
      );
    }
  });

  it('finds the noise of a schedule, and says when none is enough', async () => {
    const open = JSON.stringify({ mechanism: 'gaussian', relation: 'add-or-remove-one', count: 100 });
    const noise = await core.noiseFor([open], 1, 1e-5);
    const { epsilon } = await core.epsilonOf(gauss(noise, 100), 1e-5);
    expect(epsilon).toBeLessThanOrEqual(1);
    expect(epsilon).toBeGreaterThan(0.99);
    expect(await core.noiseFor([gaussian(0.5), open], 1e-3, 1e-9)).toBe(Number.POSITIVE_INFINITY);
  });

  it('finds it for a tree, which costs as the formula says', async () => {
    const canonical = (text: string) => [...readEvents(core.check([text]), 'node').keys()][0] ?? '';
    const event = canonical(tree(5, [1000, 24], 2));
    // ⌈log₂ 1001⌉ = 10 nodes, twice
    expect(core.renyi(event, 8)).toBeCloseTo((2 * 10 * 8) / (2 * 25), 9);
    expect(core.renyi(event, 8)).toBeCloseTo(closedFormAccounting.renyi(event, 8), 9);
    const open = JSON.stringify({ ...JSON.parse(tree(5, [64], 1)), 'noise-multiplier': undefined });
    const noise = await core.noiseFor([open], 2, 1e-5);
    const { epsilon } = await core.epsilonOf(new Map([[canonical(tree(noise, [64], 1)), 1]]), 1e-5);
    expect(epsilon).toBeLessThanOrEqual(2);
    expect(epsilon).toBeGreaterThan(1.99);
  });

  it('finds it for shares of nodes as well, whose size is not known before', async () => {
    const shares = (sigma: number, noise?: number): string =>
      JSON.stringify({
        ...{ mechanism: 'distributed-discrete-gaussian', parties: 12, 'local-grid-sigma': sigma, dimension: 1e6 },
        ...{ 'grid-l1': 3e7, ...(noise !== undefined && { 'noise-multiplier': noise }) },
        ...{ sampling: { kind: 'none' }, relation: 'zero-out', count: 20, unit: 'node' },
      });
    const noise = await core.noiseFor([shares(2 ** 20)], 4, 1e-5);
    const costs = async (sigma: number) =>
      (await core.epsilonOf(readEvents(core.check([shares(sigma, noise)]), 'node'), 1e-5)).epsilon;
    expect(await costs(2 ** 20)).toBeGreaterThan(3.99);
    // the least share that a plan may have costs no more
    for (const sigma of [2 ** 20, 1_000, 4]) expect(await costs(sigma)).toBeLessThanOrEqual(4);
  });

  it('is never below the tight epsilon when asked quickly', async () => {
    const events = gauss(3, 50);
    expect(core.quickEpsilonOf(events, 1e-5).epsilon).toBeGreaterThanOrEqual(
      (await core.epsilonOf(events, 1e-5)).epsilon,
    );
    expect(await core.epsilonOf(new Map(), 1e-5)).toMatchObject({ epsilon: 0 });
  });

  it('writes every field of an event out, so that two spellings are one', () => {
    const spelt =
      '{"noise-multiplier":2,"relation":"add-or-remove-one","sampling":{"kind":"none"},"mechanism":"gaussian","unit":"node"}';
    expect(readEvents(core.check([spelt]), 'node')).toEqual(gauss(2));
  });

  it.each([
    '{"mechanism":"rot13","noise-multiplier":1,"relation":"zero-out"}',
    '{"mechanism":"gaussian","noise-multiplier":0,"relation":"zero-out"}',
    '{"mechanism":"gaussian","noise-multiplier":"1","relation":"zero-out"}',
    '{"mechanism":"gaussian","noise-multiplier":1,"relation":"zero-out","sampling":{"kind":"poisson","rate":1.5}}',
    '{"mechanism":"gaussian","noise-multiplier":1,"relation":"nobody"}',
    '{"mechanism":"gaussian","noise-multiplier":1,"relation":"zero-out","colour":"red"}',
  ])('refuses %s in the words of the suite', (text) => {
    expect(() => core.check([text])).toThrow(expect.objectContaining({ code: 'PRIVACY_EVENT_INVALID' }));
  });
});
