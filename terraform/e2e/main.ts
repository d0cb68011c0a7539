// make e2e-aws: the example `dev` with the real AWS provider against an emulator. Applied, planned again, used by the SageMaker scripts,
// destroyed, and nothing left. Ends with one line for terraform/README.md.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findToolchain } from '../tests/toolchain.ts';
import { type Emulator, project, startEmulator } from './environment.ts';

/** What the emulator answers differently than it was told, so that a second plan wants to change it. Explained in terraform/README.md. */
const UNFAITHFUL: readonly string[] = ['aws_eks_node_group', 'aws_launch_template'];

interface Plan {
  readonly resource_changes?: readonly { address: string; type: string; change: { actions: string[] } }[];
}

const work = mkdtempSync(join(tmpdir(), 'aegis-e2e-aws-'));
const toolchain = findToolchain();
// Without a mirror on this machine `terraform init` fetches the provider, as it does for everybody.
const found = 'env' in toolchain ? toolchain.env : {};
const seconds = (since: number) => ((performance.now() - since) / 1000).toFixed(0);

function run(
  command: string,
  args: readonly string[],
  env: Record<string, string>,
  cwd: string,
  allowed = [0],
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env } });
    let [output, all] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
      all += chunk.toString('utf8');
    });
    child.stderr.on('data', (chunk: Buffer) => {
      all += chunk.toString('utf8');
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (allowed.includes(code ?? -1)) resolve(output);
      else
        reject(new Error(`${command} ${args.join(' ')} ended with ${code}:\n${all.split('\n').slice(-60).join('\n')}`));
    });
  });
}

function demand(condition: unknown, words: string): asserts condition {
  if (!condition) throw new Error(words);
}

async function useOutputs(example: string, emulator: Emulator, env: Record<string, string>): Promise<void> {
  const settings = join(work, 'sagemaker.json');
  writeFileSync(settings, await run('terraform', ['output', '-json', 'sagemaker'], env, example));
  const model = join(work, 'model.npz');
  await run(emulator.python, [join(import.meta.dirname, 'look.py'), 'write-model', model], env, work);
  const { registration } = JSON.parse(readFileSync(settings, 'utf8')) as {
    registration: { bucket: string; group: string };
  };
  await run(
    emulator.python,
    [join(import.meta.dirname, 'look.py'), 'prepare', registration.bucket, registration.group],
    env,
    work,
  );
  const scripts = join(project, 'terraform/sagemaker');
  const image = '123456789012.dkr.ecr.us-east-1.amazonaws.com/serve:1';
  const quiet = { ...env, PYTHONDONTWRITEBYTECODE: '1' };
  const register = [
    join(scripts, 'register_model.py'),
    model,
    '--settings',
    settings,
    '--run',
    '7129',
    '--image',
    image,
  ];
  const registered = JSON.parse(await run(emulator.python, register, quiet, work)) as {
    package: string;
    object: string;
  };
  demand(registered.package.includes(':model-package/'), `no model package: ${JSON.stringify(registered)}`);
  const start = [
    join(scripts, 'start_training.py'),
    '--settings',
    settings,
    '--node',
    'hospital-a',
    '--data',
    's3://hospital/digits/',
  ];
  const started = JSON.parse(await run(emulator.python, [...start, '--code', 'digits.py', '--spot'], quiet, work)) as {
    job: string;
  };
  const look = join(import.meta.dirname, 'look.py');
  await run(emulator.python, [look, 'registered', registered.package, registered.object, started.job], quiet, work);
  console.log(`registered ${registered.package.split(':').at(-1)}; started job ${started.job}`);
}

async function main(): Promise<void> {
  const began = performance.now();
  const emulator = await startEmulator(join(work, 'emulator.log'));
  const env: Record<string, string> = {
    ...found,
    AWS_ENDPOINT_URL: emulator.url,
    AWS_ACCESS_KEY_ID: 'testing',
    AWS_SECRET_ACCESS_KEY: 'testing',
    AWS_DEFAULT_REGION: 'us-east-1',
    NO_PROXY: '127.0.0.1',
    TF_VAR_emulator: 'true',
    TF_VAR_region: 'us-east-1',
    TF_VAR_alarm_emails: '["ops@example.org"]',
  };
  try {
    const source = join(project, 'terraform');
    for (const room of ['modules', 'examples']) {
      cpSync(join(source, room), join(work, room), {
        recursive: true,
        filter: (path) => !/\.terraform|tfstate/.test(path),
      });
    }
    const example = join(work, 'examples/dev');
    mkdirSync(example, { recursive: true });
    const terraform = (args: string[], allowed?: number[]) =>
      run('terraform', [...args, '-no-color'], env, example, allowed);
    await terraform(['init', '-input=false']);
    const provider =
      /hashicorp\/aws v(\S+)|hashicorp\/aws (\d\S+)/
        .exec(await terraform(['version']))
        ?.slice(1)
        .find(Boolean) ?? 'unknown';

    let step = performance.now();
    const applied = await terraform(['apply', '-auto-approve', '-input=false']);
    const made = Number(/Apply complete! Resources: (\d+) added/.exec(applied)?.[1]);
    demand(made > 0, `apply made nothing:\n${applied.slice(-2000)}`);
    const types = new Set(
      (await terraform(['state', 'list']))
        .split('\n')
        .flatMap((line) => /\b(?<!data\.)(aws_\w+)\.\w+(?:\[.*\])?$/.exec(line)?.[1] ?? []),
    );
    console.log(`applied ${made} resources in ${seconds(step)} s`);

    step = performance.now();
    await terraform(['plan', '-input=false', '-detailed-exitcode', '-out=second.plan'], [0, 2]);
    const plan = JSON.parse(await run('terraform', ['show', '-json', 'second.plan'], env, example)) as Plan;
    const changes = (plan.resource_changes ?? []).filter(
      ({ change }) => !change.actions.every((action) => ['no-op', 'read'].includes(action)),
    );
    const unexplained = changes.filter(({ type }) => !UNFAITHFUL.includes(type));
    demand(
      unexplained.length === 0,
      `the second plan changes ${unexplained.map(({ address, change }) => `${address} (${change.actions})`).join(', ')}`,
    );
    console.log(
      `second plan in ${seconds(step)} s: ${made - changes.length} unchanged; ${changes.map(({ address }) => address).join(', ') || 'nothing else'}`,
    );

    await useOutputs(example, emulator, env);
    const values = JSON.parse(await run('terraform', ['output', '-json', 'helm_values'], env, example)) as Record<
      string,
      unknown
    >;
    demand(values.aggregator && values.privacyAccountant, 'helm_values is not what the chart needs');
    if (process.env.HELM_VALUES_OUT) writeFileSync(process.env.HELM_VALUES_OUT, `${JSON.stringify(values, null, 2)}\n`);

    step = performance.now();
    await terraform(['destroy', '-auto-approve', '-input=false']);
    demand((await terraform(['state', 'list'])).trim() === '', 'destroy left resources in the state');
    await run(emulator.python, [join(import.meta.dirname, 'look.py'), 'nothing-left'], env, work);
    console.log(`destroyed in ${seconds(step)} s, nothing left`);

    const versions = 'version' in toolchain ? toolchain.version : 'unknown';
    console.log(
      `e2e-aws: ${made} resources of ${types.size} types applied and destroyed, ${made - changes.length} unchanged in the second plan; ` +
        `terraform ${versions}, aws ${provider}, moto ${emulator.version}; ${seconds(began)} s`,
    );
  } finally {
    await emulator.stop();
  }
}

try {
  await main();
  rmSync(work, { recursive: true, force: true });
} catch (error) {
  console.error((error as Error).message);
  console.error(`e2e-aws: failed; the emulator's log: ${join(work, 'emulator.log')}`);
  try {
    console.error(
      readFileSync(join(work, 'emulator.log'), 'utf8')
        .split('\n')
        .filter((line) => /" 5\d\d /.test(line))
        .slice(-5)
        .join('\n'),
    );
  } catch {
    // It never started.
  }
  process.exitCode = 1;
}
