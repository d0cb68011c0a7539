// The alert rules: each does what it says (promtool), and each has a page that says what to do.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { run } from '../../cli/src/program.ts';
import { root, rules, ruleTests, runbooks } from './src/files.ts';
import { askedBy } from './src/promql.ts';

const alerts = rules().filter(({ alert }) => alert !== undefined);
const names = [...new Set(alerts.map(({ alert = '' }) => alert))].sort();
const pages = runbooks();

describe('the rules', () => {
  it('fire when they should and are silent when they should be', ({ skip }) => {
    const got = spawnSync('sh', [join(root, 'scripts/promtool.sh')], { encoding: 'utf8' });
    if (got.status === 3) skip(got.stderr.trim());
    expect(got.status, got.stderr).toBe(0);
    const promtool = (args: string[]) => {
      const { status, stdout, stderr } = spawnSync(join(root, '.cache/bin/promtool'), args, { encoding: 'utf8' });
      expect(status, stdout + stderr).toBe(0);
    };
    const inRoom = (...path: string[]) => join(import.meta.dirname, ...path);
    promtool(['check', 'rules', ...[...new Set(rules().map(({ file }) => inRoom('rules', file)))]]);
    promtool(['test', 'rules', ...ruleTests().map(({ name }) => inRoom('rules-tests', name))]);
  }, 120_000);

  it('are each seen to fire in a test, at each of their severities', () => {
    const tested = ruleTests()
      .map(({ text }) => text)
      .join('\n');
    for (const { alert, labels } of alerts)
      expect(tested).toContain(`{alertname="${alert}", severity="${labels?.severity}"}`);
  });

  it('say how bad it is, what it is, and where to read on', () => {
    for (const { alert, labels, annotations } of alerts) {
      expect(labels?.severity, alert).toMatch(/^(info|warning|critical)$/);
      expect(annotations?.summary, alert).toMatch(/\.$/);
      expect(annotations?.runbook_url, alert).toBe(`docs/runbooks/${alert}.md`);
    }
  });

  it('are PromQL, by the grammar that the dashboards are read with', () => {
    for (const { expr } of rules()) expect(askedBy(expr).length).toBeGreaterThan(0);
    expect(() => askedBy('sum(rate(x[5m])')).toThrow('no PromQL');
  });
});

describe('the runbooks', () => {
  it('are a page for every alert, and no page more', () => {
    expect(pages.map(({ name }) => name)).toEqual(names);
  });

  it.each(pages.map((page) => [page.name, page] as const))('%s is short, whole and leads somewhere', (name, page) => {
    expect(page.text.split('\n').length).toBeLessThan(45);
    const heads = [...page.text.matchAll(/^#+ (.*)$/gm)].map(([, head]) => head);
    expect(heads).toEqual([name, 'Look', 'Do', 'Wake']);
    expect(page.expressions.length).toBeGreaterThan(0);
    for (const [, target = ''] of page.text.matchAll(/\]\(([^)#]+)/g))
      expect(existsSync(join(root, 'docs/runbooks', target)), target).toBe(true);
  });

  it('name commands that exist', async () => {
    const commands = new Set(pages.flatMap((page) => page.commands));
    expect(commands.size).toBeGreaterThan(5);
    for (const command of commands) {
      const stdout = Object.assign(new PassThrough(), { isTTY: false, columns: 80 });
      const said = stdout.toArray();
      await run([...command.split(' '), '--help'], {
        ...{ stdout: stdout as never, stderr: new PassThrough() as never },
        signal: new AbortController().signal,
      });
      stdout.end();
      expect((await said).join('')).toContain(`Usage: aegis ${command} `);
    }
  });
});
