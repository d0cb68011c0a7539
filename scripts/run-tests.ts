// Runs every test runner of the project one after the other; ends with what failed, by name, and one line of totals.
//   node scripts/run-tests.ts                       everything
//   node scripts/run-tests.ts unit rust …           only these
//   node scripts/run-tests.ts interop --all-releases
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
  /** What failed and why, a line each. */
  failures: string[];
}

interface Suite {
  readonly name: string;
  run(): Promise<Totals>;
}

const root = join(import.meta.dirname, '..');
const reports = join(root, '.cache/reports');
const allReleases = process.argv.includes('--all-releases');

/** Runs a command with its output shown; resolves with exit code and everything it printed. */
const execute = (command: string, args: string[], options: { cwd?: string; env?: Record<string, string> } = {}) =>
  new Promise<{ code: number; output: string }>((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const keep = (chunk: Buffer) => {
      output += chunk.toString('utf8');
      process.stdout.write(chunk);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });

/** A runner that ended badly without naming a failed test still counts as one failure. */
const withExitCode = (totals: Totals, code: number): Totals =>
  code !== 0 && totals.failed === 0
    ? { ...totals, failed: 1, failures: [...totals.failures, `the runner ended with code ${code}`] }
    : totals;

const nothingRan = (why: string): Totals => ({ passed: 0, failed: 1, skipped: 0, failures: [why] });

const firstLine = (text: string | undefined) => (text ?? '').split('\n')[0]?.slice(0, 300) ?? '';

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

/** Failed tests by name; of a file that failed outside its tests, the file. */
const vitestFailures = (report: VitestReport): string[] =>
  report.testResults
    .filter(({ status }) => status === 'failed')
    .flatMap((file) => {
      const tests = file.assertionResults.filter(({ status }) => status === 'failed');
      const path = relative(root, file.name);
      return tests.length === 0
        ? [`${path}: ${firstLine(file.message)}`]
        : tests.map((test) => `${path}: ${test.fullName}: ${firstLine(test.failureMessages[0])}`);
    });

async function vitest(name: string, args: string[]): Promise<Totals> {
  const report = join(reports, `${name}.json`);
  rmSync(report, { force: true });
  const { code } = await execute('vitest', [
    'run',
    ...args,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  if (!existsSync(report)) return nothingRan(`vitest wrote no report and ended with code ${code}`);
  const result = JSON.parse(readFileSync(report, 'utf8')) as VitestReport;
  const totals = {
    passed: result.numPassedTests,
    failed: result.numFailedTests,
    skipped: result.numPendingTests + result.numTodoTests,
    failures: vitestFailures(result),
  };
  return withExitCode(totals, code);
}

async function cargo(): Promise<Totals> {
  const { code, output } = await execute('cargo', ['test', '--release', '--quiet'], { cwd: join(root, 'core-native') });
  const failures = [...output.matchAll(/^---- (.+) stdout ----$/gm)].map((match) => match[1] ?? '');
  const totals = { passed: 0, failed: 0, skipped: 0, failures };
  for (const match of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm)) {
    totals.passed += Number(match[1]);
    totals.failed += Number(match[2]);
    totals.skipped += Number(match[3]);
  }
  return withExitCode(totals, code);
}

/** Python tests run in the environment of the newest Flower release; it brings pytest along. */
async function pytest(name: string, paths: string[]): Promise<Totals> {
  const made = spawnSync(
    join(root, 'scripts/flwr-venv.sh'),
    ['1.41.0', 'pytest', 'scikit-learn', 'ml_dtypes', 'dp-accounting==0.6.0', 'schemathesis==4.32.5'],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  if (made.status !== 0) return nothingRan('no Python environment could be made');
  const report = join(reports, `${name}.xml`);
  rmSync(report, { force: true });
  const python = join(made.stdout.trim(), 'python');
  const { code, output } = await execute(
    python,
    ['-m', 'pytest', '-q', '-r', 'fE', '-p', 'no:cacheprovider', `--junitxml=${report}`, ...paths],
    {
      env: { PYTHONDONTWRITEBYTECODE: '1', AEGIS_ALL_RELEASES: allReleases ? '1' : '' },
    },
  );
  if (!existsSync(report)) return nothingRan(`pytest wrote no report and ended with code ${code}`);
  const head = readFileSync(report, 'utf8').match(/<testsuite [^>]*>/)?.[0] ?? '';
  const count = (key: string) => Number(head.match(new RegExp(` ${key}="(\\d+)"`))?.[1] ?? 0);
  const failed = count('failures') + count('errors');
  const skipped = count('skipped');
  const failures = [...output.matchAll(/^(?:FAILED|ERROR) (.+)$/gm)].map((match) => firstLine(match[1]));
  return withExitCode({ passed: count('tests') - failed - skipped, failed, skipped, failures }, code);
}

/** Container tests need a Docker engine; without one they are counted as skipped, and said so. */
async function e2e(): Promise<Totals> {
  const engine = spawnSync('docker', ['info'], { stdio: 'ignore' });
  if (engine.status === 0) return vitest('e2e', ['--config', 'tests/e2e/vitest.config.ts']);
  const listed = spawnSync('vitest', ['list', '--config', 'tests/e2e/vitest.config.ts', '--json'], {
    cwd: root,
    encoding: 'utf8',
  });
  const tests = JSON.parse(listed.stdout || '[]') as unknown[];
  console.log(`tests/e2e skipped (${tests.length} tests): no Docker engine answers`);
  return { passed: 0, failed: 0, skipped: tests.length, failures: [] };
}

const suites: Suite[] = [
  { name: 'unit', run: () => vitest('unit', []) },
  { name: 'simulation', run: () => vitest('simulation', ['--config', 'tests/simulation/vitest.config.ts']) },
  { name: 'chart', run: () => vitest('chart', ['--config', 'tests/chart/vitest.config.ts']) },
  { name: 'rust', run: cargo },
  { name: 'python', run: () => pytest('python', ['clients/python', 'terraform/sagemaker']) },
  { name: 'interop', run: () => pytest('interop', ['tests/interop']) },
  { name: 'terraform', run: () => vitest('terraform', ['--config', 'terraform/vitest.config.ts']) },
  { name: 'packages', run: () => vitest('packages', ['--config', 'tests/packages/vitest.config.ts']) },
  { name: 'e2e', run: e2e },
];

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const unknown = wanted.filter((name) => !suites.some((suite) => suite.name === name));
if (unknown.length > 0) {
  console.error(`no such suite: ${unknown.join(', ')} (there are ${suites.map((suite) => suite.name).join(', ')})`);
  process.exit(2);
}

mkdirSync(reports, { recursive: true });
const total: Totals = { passed: 0, failed: 0, skipped: 0, failures: [] };
for (const suite of suites) {
  if (wanted.length > 0 && !wanted.includes(suite.name)) continue;
  console.log(`\n== ${suite.name}`);
  const began = performance.now();
  const result = await suite.run();
  total.passed += result.passed;
  total.failed += result.failed;
  total.skipped += result.skipped;
  total.failures.push(...result.failures.map((failure) => `${suite.name}: ${failure}`));
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(
    `== ${suite.name}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped in ${seconds} s`,
  );
}
console.log('');
for (const failure of total.failures) console.log(`failed: ${failure}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;
