import { describe, expect, it } from 'vitest';
import { CALL_CLASSES, type Rates } from '../domain/admission.ts';
import { Allowances } from './allowances.ts';
import { AllowanceSharing } from './share-allowances.ts';

const rate = { perSecond: 10, burst: 100 };
const rates = Object.fromEntries(
  CALL_CLASSES.map((what) => [what, { address: { ...rate }, everybody: { ...rate }, caller: { ...rate } }]),
) as unknown as Rates;

/** Takes one by one at `at` until there is none left, and says how many there were. */
const drain = (allowances: Allowances, name: string, at: number): number => {
  let taken = 0;
  while (allowances.take('calls', 'address', name, at)) taken += 1;
  return taken;
};

describe('allowances', () => {
  it('are of one class, one payer and one name', () => {
    const allowances = new Allowances(rates);
    expect(drain(allowances, 'a', 0)).toBe(100);
    expect(drain(allowances, 'b', 0)).toBe(100);
    expect(allowances.take('uploads', 'address', 'a', 0)).toBe(true);
    expect(allowances.take('calls', 'caller', 'a', 0)).toBe(true);
    allowances.spend('calls', 'address', 'a', 0, -30);
    expect(drain(allowances, 'a', 0)).toBe(30);
  });

  it('take no more memory than they may: those that are full are forgotten, and when none is, newcomers share one', () => {
    const allowances = new Allowances(rates, 10);
    for (let name = 0; name < 10; name += 1) drain(allowances, `${name}`, 0);
    expect(drain(allowances, 'x', 0) + drain(allowances, 'y', 0)).toBe(100);
    expect(allowances.size).toBe(11);
    for (let name = 0; name < 1_000; name += 1) allowances.take('calls', 'address', `later ${name}`, 60_000);
    expect(allowances.size).toBeLessThanOrEqual(11);
    expect(drain(allowances, '3', 120_000)).toBe(100);
  });

  it('tell what makes a difference, once, and keep the small change', () => {
    const allowances = new Allowances(rates);
    allowances.take('calls', 'address', 'much', 0, 40);
    allowances.take('calls', 'address', 'little', 0, 0.5);
    expect(allowances.toTell()).toEqual([{ allowance: 'calls address much', tokens: 40 }]);
    expect(allowances.toTell()).toEqual([]);
    allowances.take('calls', 'address', 'little', 0, 0.5);
    expect(allowances.toTell()).toEqual([{ allowance: 'calls address little', tokens: 1 }]);
  });

  it('believe other gateways what they can make sense of', () => {
    const allowances = new Allowances(rates);
    allowances.usedElsewhere(
      [
        { allowance: 'calls address a', tokens: 60 },
        { allowance: 'calls address b', tokens: Number.NaN },
        { allowance: 'of another release', tokens: 60 },
        { allowance: 'constructor constructor x', tokens: 60 },
      ],
      0,
    );
    expect([drain(allowances, 'a', 0), drain(allowances, 'b', 0)]).toEqual([40, 100]);
    // What others said is not told on.
    expect(allowances.toTell().map(({ tokens }) => tokens)).toEqual([40, 100]);
  });
});

describe('two gateways', () => {
  const pair = () => {
    let hears = true;
    const told: number[] = [];
    const [one, other] = [new Allowances(rates), new Allowances(rates)];
    const sharing = (from: Allowances, to: Allowances) =>
      new AllowanceSharing({
        allowances: from,
        elsewhere: { neighbours: () => 1 },
        hears: () => hears,
        peer: {
          spent: (spent) => {
            told.push(spent.length);
            to.usedElsewhere(spent, 0);
          },
        },
      });
    const both = [sharing(one, other), sharing(other, one)];
    return {
      ...{ one, other, told },
      tick: () => {
        for (const side of both) side.tick(0);
      },
      bus: (is: boolean) => {
        hears = is;
      },
    };
  };

  it('let through together what one may', () => {
    const { one, other, tick } = pair();
    expect(drain(one, 'a', 0)).toBe(100);
    tick();
    expect(drain(other, 'a', 0)).toBe(0);
    // Ten a second, of which each knows what the other gave out.
    expect(drain(one, 'a', 11_000)).toBe(100);
    tick();
    expect(drain(other, 'a', 11_000)).toBe(10);
  });

  it('give out half each while they do not hear each other, and all again afterwards', () => {
    const { one, other, tick, bus, told } = pair();
    tick();
    bus(false);
    tick();
    expect([drain(one, 'a', 0), drain(other, 'a', 0)]).toEqual([50, 50]);
    expect([drain(one, 'a', 1_000), drain(other, 'a', 1_000)]).toEqual([5, 5]);
    tick();
    expect(told).toEqual([]);
    bus(true);
    tick();
    expect(drain(one, 'b', 0)).toBe(100);
  });
});
