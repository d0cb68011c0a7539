import { expect, it } from 'vitest';
import { dashboards } from './src/dashboards/index.ts';
import { buildDashboard } from './src/dashboards/panels.ts';
import { shown } from './src/files.ts';
import { askedBy } from './src/promql.ts';

it('every expression of a dashboard is PromQL and reads something', () => {
  expect(shown().length).toBeGreaterThan(50);
  for (const { dashboard, panel, expr } of shown())
    expect(askedBy(expr).length, `${dashboard}, ${panel}`).toBeGreaterThan(0);
});

it('every panel has a number of its own and says what it is about', () => {
  for (const dashboard of dashboards) {
    const { panels } = buildDashboard(dashboard) as { panels: { id: number; type: string; description?: string }[] };
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { type, description } of panels) if (type !== 'row') expect(description).toMatch(/\.$/);
  }
});
