// make check-aws: checkov over all of terraform/, and tflint where it is installed. A finding fails unless its place explains it.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { project, python } from './environment.ts';

interface Report {
  readonly summary: {
    passed: number;
    failed: number;
    skipped: number;
    parsing_errors: number;
    checkov_version: string;
  };
  readonly results: {
    readonly failed_checks: readonly { check_id: string; check_name: string; resource: string; file_path: string }[];
    readonly skipped_checks: readonly {
      check_id: string;
      resource: string;
      check_result: { suppress_comment?: string };
    }[];
  };
}

const source = join(project, 'terraform');
const bin = python('checkov', ['checkov']);
const done = spawnSync(join(bin, 'checkov'), ['--directory', source, '--framework', 'terraform', '--output', 'json'], {
  encoding: 'utf8',
  maxBuffer: 2 ** 28,
  env: { ...process.env, LOG_LEVEL: 'CRITICAL', PYTHONWARNINGS: 'ignore' },
});
const report = JSON.parse(done.stdout.slice(done.stdout.indexOf('{'))) as Report;
const { summary, results } = report;
for (const { check_id, check_name, resource, file_path } of results.failed_checks) {
  console.error(`${check_id} ${resource} (${file_path}): ${check_name}`);
}
const mute = results.skipped_checks.filter(({ check_result }) => !check_result.suppress_comment?.trim());
for (const { check_id, resource } of mute) console.error(`${check_id} ${resource}: skipped without a reason`);

const tflint = spawnSync('tflint', ['--recursive', '--chdir', source, '--no-color'], { encoding: 'utf8' });
const linted = tflint.error === undefined;
if (linted && tflint.status !== 0) console.error(tflint.stdout + tflint.stderr);
const version = linted
  ? /version (\S+)/i.exec(spawnSync('tflint', ['--version'], { encoding: 'utf8' }).stdout)?.[1]
  : undefined;

console.log(
  `check-aws: checkov ${summary.checkov_version}: ${summary.passed} passed, ${summary.failed} failed, ${summary.skipped} explained; ` +
    (linted ? `tflint ${version}: ${tflint.status === 0 ? '0 findings' : 'findings'}` : 'tflint is not installed'),
);
if (
  summary.failed > 0 ||
  summary.parsing_errors > 0 ||
  summary.passed === 0 ||
  mute.length > 0 ||
  (linted && tflint.status !== 0)
)
  process.exitCode = 1;
