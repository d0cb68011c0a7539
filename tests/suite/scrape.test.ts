// What rules, dashboards and runbooks read, the services really show; and what they show, somebody looks at.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createTelemetry } from '@aegis/service-kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root, rules, runbooks, shown } from '../../deploy/observability/src/files.ts';
import { type Asked, askedBy } from '../../deploy/observability/src/promql.ts';
import { ObservedSuite, type Scrapes } from './observed-suite.ts';
import { Suite } from './suite.ts';

interface Family {
  readonly type: string;
  readonly help: string;
  readonly labels: ReadonlySet<string>;
}

/** By family as Prometheus names it; of a histogram also its three series. */
const familiesOf = (text: string): Map<string, Family> => {
  const families = new Map<string, { type: string; help: string; labels: Set<string> }>();
  const family = (name: string) => {
    const known = families.get(name) ?? { type: '', help: '', labels: new Set<string>() };
    families.set(name, known);
    return known;
  };
  for (const line of text.split('\n')) {
    const [, about, name = '', rest = ''] = /^# (HELP|TYPE|UNIT) (\S+) (.*)$/.exec(line) ?? [];
    if (about === 'HELP') family(name).help = rest;
    if (about === 'TYPE') family(name).type = rest;
    const [, series = '', labels = ''] = /^([a-z_]+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) family(series).labels.add(label);
    if (series !== '' && labels === '') family(series);
  }
  return families;
};
/** Prometheus puts these on every series itself. */
const FROM_THE_SCRAPE = new Set(['job', 'instance']);
const asks = (expressions: readonly string[]): Asked[] => expressions.flatMap((expression) => askedBy(expression));

let scrapes: Scrapes;
let all: Map<string, Family>;
beforeAll(async () => {
  await using suite = await ObservedSuite.start();
  await suite.trainPrivately();
  await suite.trainAndEvaluate();
  expect(await suite.refusedRun()).toContain('PRIVACY_BUDGET_EXHAUSTED');
  scrapes = await suite.scrapes();
  all = new Map([...scrapes.values()].flatMap((text) => [...familiesOf(text)]));
}, 240_000);

const written = [
  ...rules().map(({ expr, alert, record }) => [`rule ${alert ?? record}`, expr] as const),
  ...shown().map(({ dashboard, panel, expr }) => [`${dashboard}, ${panel}`, expr] as const),
  ...runbooks().flatMap(({ name, expressions }) => expressions.map((expr) => [`runbook ${name}`, expr] as const)),
];
const recorded = new Set(rules().flatMap(({ record }) => record ?? []));

describe('a real scrape', () => {
  it('has every series, with every label, that a rule, a panel or a runbook asks for', () => {
    const missing = written.flatMap(([where, expr]) =>
      askedBy(expr)
        .filter(({ metric }) => !recorded.has(metric))
        .flatMap(({ metric, labels }) => {
          const family = all.get(metric);
          if (family === undefined) return [`${where}: ${metric}`];
          return labels
            .filter((label) => !family.labels.has(label) && !FROM_THE_SCRAPE.has(label))
            .map((label) => `${where}: ${metric}{${label}}`);
        }),
    );
    expect(missing).toEqual([]);
  });

  it('has nothing of ours that no rule and no panel looks at', () => {
    const looked = new Set(asks(written.map(([, expr]) => expr)).map(({ metric }) => metric));
    const unseen = [...all]
      .filter(([name, { type }]) => name.startsWith('aegis_') && type !== '')
      .filter(([name, { type }]) =>
        type === 'histogram'
          ? !['_bucket', '_sum', '_count'].some((ending) => looked.has(`${name}${ending}`))
          : !looked.has(name),
      );
    expect(unseen.map(([name]) => name)).toEqual([]);
  });

  it('says of each family what it is, and names neither nodes nor runs', () => {
    for (const [service, text] of scrapes) {
      const families = [...familiesOf(text)].filter(([, { type }]) => type !== '');
      expect(families.length, service).toBeGreaterThan(5);
      for (const [name, { help }] of families)
        expect(help, `${service}: ${name}`).not.toMatch(/^$|description missing/);
    }
    // one process may be all services: a name means one thing
    const said = new Map<string, string>();
    for (const text of scrapes.values())
      for (const [name, { help, type }] of familiesOf(text)) {
        if (type === '') continue;
        expect(said.get(name) ?? help, name).toBe(help);
        said.set(name, help);
      }
    for (const [name, { labels }] of all)
      for (const label of ['node', 'node_id', 'run', 'run_id', 'task', 'unit', 'address', 'peer'])
        expect(labels.has(label), `${name}{${label}}`).toBe(false);
  });

  it('is what promtool takes for good metrics', ({ skip }) => {
    const got = spawnSync('sh', [join(root, 'scripts/promtool.sh')], { encoding: 'utf8' });
    if (got.status === 3) skip(got.stderr.trim());
    for (const [service, text] of scrapes) {
      const checked = spawnSync(join(root, '.cache/bin/promtool'), ['check', 'metrics'], {
        input: text,
        encoding: 'utf8',
      });
      expect(checked.status, `${service}: ${checked.stdout}${checked.stderr}`).toBe(0);
    }
  });
});

describe('all services in one process', () => {
  const telemetry = createTelemetry({ service: 'aegis', version: '1', env: {} });
  let suite: Suite;
  beforeAll(async () => {
    suite = await Suite.start({ telemetry });
  });
  afterAll(async () => {
    await suite.close();
    await telemetry.shutdown();
  });

  it('show each family once', async () => {
    const helped = [...(await telemetry.renderMetrics()).matchAll(/^# HELP (\S+)/gm)].map(([, name]) => name);
    expect(helped.length).toBe(new Set(helped).size);
    expect(helped).toContain('aegis_gateway_calls_total');
    expect(helped).toContain('aegis_rounds_total');
  });
});
