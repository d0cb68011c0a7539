// Writes deploy/observability/dashboards/*.json from deploy/observability/src/dashboards. `--check` fails when a committed one differs.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dashboards } from '../deploy/observability/src/dashboards/index.ts';
import { buildDashboard } from '../deploy/observability/src/dashboards/panels.ts';

const folder = join(import.meta.dirname, '../deploy/observability/dashboards');
const wanted = new Map(
  dashboards.map((one) => [`${one.uid}.json`, `${JSON.stringify(buildDashboard(one), null, 2)}\n`]),
);

mkdirSync(folder, { recursive: true });
const there = readdirSync(folder);
const contentOf = (name: string): string | undefined =>
  there.includes(name) ? readFileSync(join(folder, name), 'utf8') : undefined;

if (process.argv.includes('--check')) {
  const stale = [...new Set([...there, ...wanted.keys()])].filter((name) => contentOf(name) !== wanted.get(name));
  if (stale.length > 0) {
    console.error(`${stale.join(', ')} in deploy/observability/dashboards: run \`node scripts/dashboards.ts\``);
    process.exit(1);
  }
} else {
  for (const name of there) if (!wanted.has(name)) rmSync(join(folder, name));
  for (const [name, text] of wanted) writeFileSync(join(folder, name), text);
}
