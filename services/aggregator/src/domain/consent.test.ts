import { describe, expect, it } from 'vitest';
import { agrees, readConsent } from './consent.ts';
import { PlanValues } from './plan-values.ts';
import { type Scalar, text } from './scalar.ts';

const terms = { purpose: 'ecg', version: 'v2' };
const yes = (to: string, version = 'v2') => ({ to, version, given: true });
const no = (to: string) => ({ to, version: 'v2', given: false });

describe('a node agrees', () => {
  it.each([
    ['to nothing', [], false],
    ['to the purpose', [yes('purpose:ecg')], true],
    ['to an older text of it', [yes('purpose:ecg', 'v1')], false],
    ['to another purpose', [yes('purpose:eeg')], false],
    ['to a purpose with a longer name', [yes('purpose:ecg2')], false],
    ['no more', [no('purpose:ecg')], false],
    ['to this run alone', [yes('run:7')], true],
    ['to an older text for this run', [yes('run:7', 'v1')], false],
    ['to an older text for this run, and to the purpose', [yes('run:7', 'v1'), yes('purpose:ecg')], true],
    ['to another run', [yes('run:70')], false],
    ['to the purpose, not in this run', [yes('purpose:ecg'), no('run:7')], false],
    ['in this run, to the purpose no more', [no('purpose:ecg'), yes('run:7')], true],
  ])('%s', (_name, said, expected) => {
    expect(agrees(said, terms, 7n)).toBe(expected);
  });
});

describe('the plan', () => {
  const values = (entries: Record<string, string | boolean>) => {
    const config = new Map<string, Scalar>(
      Object.entries(entries).map(([key, value]) => [
        `aegis.consent.${key}`,
        typeof value === 'string' ? text(value) : { kind: 'flag', value },
      ]),
    );
    return new PlanValues(config, new Map(), new Map());
  };

  it('asks for consent where it names a purpose and a version', () => {
    expect(readConsent(values({}))).toBe(null);
    expect(readConsent(values({ purpose: 'ecg', version: '2026-11' }))).toEqual({ purpose: 'ecg', version: '2026-11' });
  });

  it.each([
    ['a purpose without a version', { purpose: 'ecg' }, /aegis.consent.version/],
    ['a version without a purpose', { version: 'v1' }, /aegis.consent.purpose/],
    ['a purpose that is no name', { purpose: 'All of it', version: 'v1' }, /aegis.consent.purpose is "All of it"/],
    ['a version that is none', { purpose: 'ecg', version: 'as of today' }, /aegis.consent.version/],
    ['a purpose that is no text', { purpose: true, version: 'v1' }, /aegis.consent.purpose/],
  ])('refuses %s', (_name, entries, complaint) => {
    expect(() => readConsent(values(entries as Record<string, string | boolean>))).toThrow(complaint);
  });
});
