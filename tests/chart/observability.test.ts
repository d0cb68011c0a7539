// The rules and dashboards that the chart brings are those of deploy/observability, whole.
import { expect, it } from 'vitest';
import { dashboardFiles, rules } from '../../deploy/observability/src/files.ts';
import { type Any, render } from './render.ts';

const rulesOf = ({ spec }: Any): Any[] => spec.groups.flatMap((group: Any) => group.rules);

it('brings none unless it is told to', async () => {
  const rendered = await render();
  expect(rendered.ofKind('PrometheusRule')).toEqual([]);
  expect(rendered.ofKind('ConfigMap').filter(({ metadata }) => metadata.name.includes('dashboard'))).toEqual([]);
});

it('brings every rule, with the pages where the values say they are', async () => {
  const runbooks = 'https://wiki.example.org/aegis/';
  const rendered = await render({ set: { 'metrics.rules': { enabled: true, labels: { release: 'prom' }, runbooks } } });
  const object = rendered.get('PrometheusRule', 'aegis-rules');
  expect(object.metadata.labels.release).toBe('prom');
  const written = rules().map(({ file: _, ...rule }) =>
    rule.annotations === undefined
      ? rule
      : {
          ...rule,
          annotations: { ...rule.annotations, runbook_url: `https://wiki.example.org/aegis/${rule.alert}.md` },
        },
  );
  expect(rulesOf(object)).toEqual(written);
});

it('brings every dashboard as it is, for a sidecar to find', async () => {
  const rendered = await render({
    set: { 'metrics.dashboards': { enabled: true, labels: { grafana_dashboard: '1' } } },
  });
  const maps = rendered.ofKind('ConfigMap').filter(({ metadata }) => metadata.name.startsWith('aegis-dashboard-'));
  const files = dashboardFiles();
  expect(maps.map(({ data }) => Object.keys(data)[0]).sort()).toEqual(files.map(({ name }) => name));
  for (const { data, metadata } of maps) {
    expect(metadata.labels.grafana_dashboard).toBe('1');
    const [[name, text] = []] = Object.entries(data);
    expect(text).toBe(files.find((file) => file.name === name)?.text);
  }
});
