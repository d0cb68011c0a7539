import { describe, expect, it } from 'vitest';
import { afterPurposes, afterStatement, type Consent, MOST_CONSENTS } from './consent.ts';

const yes = (to: string, version = 'v1') => ({ to, version, given: true });
const no = (to: string) => ({ to, version: '', given: false });
const after = (...said: Parameters<typeof afterStatement>[1][]) =>
  said.reduce<readonly Consent[]>((list, one, at) => afterStatement(list, one, at), []);

describe('what a node said', () => {
  it('counts as it was said last, with the version and the time of then', () => {
    expect(after(yes('purpose:ecg'))).toEqual([{ to: 'purpose:ecg', version: 'v1', given: true, at: 0 }]);
    expect(after(yes('purpose:ecg'), yes('purpose:ecg'))[0]?.at).toBe(0);
    expect(after(yes('purpose:ecg'), yes('purpose:ecg', 'v2'))).toEqual([
      { to: 'purpose:ecg', version: 'v2', given: true, at: 1 },
    ]);
    expect(after(yes('purpose:ecg'), no('purpose:ecg'), no('purpose:ecg'))).toEqual([
      { to: 'purpose:ecg', version: 'v1', given: false, at: 1 },
    ]);
  });

  it('a single run can be declined that nothing was said of; a purpose needs no such word', () => {
    expect(after(no('run:7'))).toEqual([{ to: 'run:7', version: '', given: false, at: 0 }]);
    expect(after(no('purpose:ecg'))).toEqual([]);
  });

  it('all purposes at once withdraw what they do not name, and leave runs alone', () => {
    const before = after(yes('purpose:a'), yes('purpose:b'), yes('run:7'), no('run:8'));
    const next = afterPurposes(before, [{ purpose: 'b', version: 'v1' }], 9);
    expect(new Map(next.map(({ to, given, at }) => [to, [given, at]]))).toEqual(
      new Map([
        ['purpose:a', [false, 9]],
        ['purpose:b', [true, 1]],
        ['run:7', [true, 2]],
        ['run:8', [false, 3]],
      ]),
    );
    expect(afterPurposes(next, [{ purpose: 'b', version: 'v1' }], 10)).toBe(next);
  });

  it.each([
    ['of nothing', yes('')],
    ['of another kind', yes('app:x')],
    ['of a purpose in capitals', yes('purpose:ECG')],
    ['of a purpose beyond all length', yes(`purpose:${'a'.repeat(65)}`)],
    ['of a run that is no number', yes('run:7a')],
    ['without a version', yes('purpose:a', '')],
    ['with a version that is a sentence', yes('purpose:a', 'as of today')],
  ])('is refused %s', (_name, said) => {
    expect(() => after(said)).toThrow(expect.objectContaining({ code: 'REQUEST_MALFORMED' }));
  });

  it('is bounded', () => {
    const many = Array.from({ length: MOST_CONSENTS }, (_, at) => yes(`run:${at}`));
    expect(after(...many)).toHaveLength(MOST_CONSENTS);
    expect(() => after(...many, yes('run:1000'))).toThrow(/100 things at most/);
  });

  it('is forgotten first where a purpose was withdrawn longest ago, so that other things can be said', () => {
    const many = Array.from({ length: MOST_CONSENTS }, (_, at) => yes(`purpose:p${at}`));
    const withdrawn = afterPurposes(after(...many), [], 1_000);
    const next = afterPurposes(withdrawn, [{ purpose: 'other', version: 'v1' }], 1_001);
    expect(next.filter(({ given }) => given).map(({ to }) => to)).toEqual(['purpose:other']);
    expect(next).toHaveLength(MOST_CONSENTS);
    expect(afterStatement(next, no('run:7'), 1_002).map(({ to }) => to)).toContain('run:7');
  });
});
