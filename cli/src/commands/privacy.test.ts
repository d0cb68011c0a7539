import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../program.ts';
import { keeping } from '../terminal.test-support.ts';

const round = {
  mechanism: 'gaussian',
  'noise-multiplier': 1.0,
  sampling: { kind: 'poisson', rate: 0.01 },
  relation: 'add-or-remove-one',
  count: 1000,
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-privacy-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function privacy(question: string, text: string, ...options: string[]) {
  const file = join(folder, 'events.json');
  await writeFile(file, text);
  const [out, err] = [keeping(), keeping()];
  const args = ['privacy', question, '--events', file, ...options];
  const code = await run(args, {
    stdout: out.stream,
    stderr: err.stream,
    env: {},
    signal: new AbortController().signal,
  });
  return { code, out: out.text(), err: err.text() };
}

describe('aegis privacy', () => {
  it('says what events cost, as one JSON value or as a table that is rounded up', async () => {
    const asked = await privacy('epsilon', JSON.stringify([round]), '--delta', '1e-5', '--json');
    const { epsilon, lower, method } = JSON.parse(asked.out);
    expect(epsilon).toBeGreaterThan(1.778);
    expect(epsilon).toBeLessThan(2.1014);
    expect(lower).toBeLessThanOrEqual(epsilon);
    expect(['rdp', 'pld']).toContain(method);
    const { code, out } = await privacy('epsilon', JSON.stringify([round]), '--delta', '1e-5');
    expect(code).toBe(0);
    const shown = Number(out.match(/epsilon +([\d.]+)/)?.[1]);
    expect(shown).toBeGreaterThanOrEqual(epsilon);
    expect(shown).toBeLessThan(epsilon * 1.00001);
  });

  it('finds noise and rounds for a budget, and neither exceeds it', async () => {
    const { 'noise-multiplier': _, ...bare } = round;
    const noise = await privacy('sigma', JSON.stringify([bare]), '--delta', '1e-5', '--epsilon', '2', '--json');
    const found = JSON.parse(noise.out);
    expect(found.epsilon).toBeLessThanOrEqual(2);
    const { out } = await privacy(
      'rounds',
      JSON.stringify([{ ...round, 'noise-multiplier': found.sigma, count: 1 }]),
      ...['--delta', '1e-5', '--epsilon', '2', '--json'],
    );
    expect(JSON.parse(out).rounds).toBeGreaterThanOrEqual(1000);
    const none = await privacy('rounds', JSON.stringify([round]), '--delta', '1e-5', '--epsilon', '1e-6', '--json');
    expect(JSON.parse(none.out)).toMatchObject({ rounds: 0, epsilon: 0 });
  });

  it('names row and field of what it refuses', async () => {
    const text = JSON.stringify([round, round]);
    const at = text.lastIndexOf('1000');
    const { code, err } = await privacy('epsilon', `${text.slice(0, at)}10.5${text.slice(at + 4)}`, '--delta', '1e-5');
    expect(code).toBe(1);
    expect(err).toContain('row 1, count: must be a whole number without a decimal point (got 10.5)');
    const json = await privacy('epsilon', text, '--delta', '1', '--json');
    expect(JSON.parse(json.err).error).toMatchObject({ code: 'PRIVACY_PARAMETER' });
    const usage = await privacy('epsilon', text, '--delta', 'small');
    expect(usage.code).toBe(2);
  });
});
