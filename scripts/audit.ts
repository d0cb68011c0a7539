// make audit: known weaknesses of the npm packages that programs run with. Exit code: 0 none, 1 some, 3 nobody could be asked.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

interface Report {
  /** Of a request that came back without an answer. */
  readonly message?: string;
  readonly error?: { readonly summary?: string };
  readonly metadata?: { readonly vulnerabilities?: Readonly<Record<string, number>> };
}

const root = join(import.meta.dirname, '..');
const npm = (...options: string[]) =>
  spawnSync(join(root, 'scripts/npm.sh'), ['audit', '--omit=dev', ...options], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });

const report = JSON.parse(npm('--json').stdout || '{}') as Report;
const found = report.metadata?.vulnerabilities;
if (found === undefined) {
  const why = report.error?.summary || report.message || 'npm gave no report';
  // an address in it is of no use to whoever reads this
  console.error(`audit: nobody could be asked (${why.split(' - ')[0]})`);
  process.exit(3);
}
const all = Object.entries(found).filter(([severity, count]) => severity !== 'total' && count > 0);
if (all.length === 0) console.log('audit: none known');
else {
  console.log(npm().stdout);
  console.error(`audit: ${all.map(([severity, count]) => `${count} ${severity}`).join(', ')}`);
  process.exit(1);
}
