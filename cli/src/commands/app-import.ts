import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CommandError } from '../command-error.ts';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { ExitCode } from '../exit-codes.ts';
import type { Operator } from '../operator.ts';
import { collect, parseWhole } from '../parse.ts';
import { type ArrayFacts, type CapturedPlan, planRows } from '../present/plan.ts';
import { pythonEnvironment, pythonOf, runToEnd } from '../python.ts';
import type { Terminal } from '../terminal.ts';

interface Options extends ConnectionOptions {
  python?: string;
  runConfig?: string[];
  nodes?: number;
  timeout?: number;
  asFedavg?: boolean;
}

export const addAppImport: AddCommand = (app, context) =>
  withConnectionOptions(
    app
      .command('import')
      .description("capture an app's plan from its own ServerApp, so that `flwr run` can start it here"),
  )
    .argument('<dir>', 'folder of the Flower app (with its pyproject.toml)')
    .option('--python <path>', 'interpreter that has flwr and what the app needs (default: $VIRTUAL_ENV, else python3)')
    .option('--run-config <k=v>', 'overrides, written as for `flwr run`; may be repeated', collect)
    .option('--nodes <n>', 'how many nodes the app finds while it is recorded', parseWhole(1, 100_000))
    .option('--timeout <seconds>', 'how long the ServerApp may take to its first message', parseWhole(1, 86_400))
    .option('--as-fedavg', "state that the strategy's own aggregation still computes FedAvg")
    .action(async (folder: string, options: Options) => {
      const { terminal, env, signal } = context();
      const python = pythonOf(options.python, env);
      terminal.transient(`running the ServerApp of ${folder} up to its first message …`);
      const captured = await capture(resolve(folder), python, captureArguments(options), env, signal).finally(() =>
        terminal.clearTransient(),
      );
      const modelId = await withOperator(options, context(), (operator) => putPlan(operator, captured));
      const { plan, arrays, appHash } = captured;
      terminal.result({ appId: plan['app-id'], appHash, appDigest: plan['app-digest'], modelId, plan, arrays });
      show(terminal, captured, folder);
    });

const captureArguments = (options: Options): string[] => [
  ...(options.runConfig ?? []).flatMap((text) => ['--run-config', text]),
  ...(options.nodes === undefined ? [] : ['--nodes', String(options.nodes)]),
  ...(options.timeout === undefined ? [] : ['--timeout', String(options.timeout)]),
  ...(options.asFedavg === true ? ['--as-fedavg'] : []),
];

export interface Captured {
  plan: CapturedPlan;
  planJson: string;
  appHash: string;
  arrays: ArrayFacts[];
  /** The initial arrays as npz; empty when a node is asked for them. */
  model: Buffer;
}

interface Answer {
  ok: boolean;
  'app-hash': string;
  arrays: ArrayFacts[];
  error?: { code: string; detail: string; hint: string; output?: string[] };
}

/** Runs the app's ServerApp under `python` until it would send its first message, and reads what was captured. */
export async function capture(
  folder: string,
  python: string,
  extra: readonly string[],
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<Captured> {
  await stat(folder);
  const out = await mkdtemp(join(tmpdir(), 'aegis-import-'));
  try {
    const args = ['-m', 'aegis_fl.app_import', folder, '--out', out, '--json', ...extra];
    const run = await runToEnd(python, args, { env: pythonEnvironment(env), signal });
    const answer = parseAnswer(run.stdout);
    if (answer?.error !== undefined) throw refusal(answer.error);
    if (answer?.ok !== true) throw notRun(python, run.stderr);
    const planJson = await readFile(join(out, 'plan.json'), 'utf8');
    const model = await readFile(join(out, 'init.npz')).catch(() => Buffer.alloc(0));
    const { 'app-hash': appHash, arrays } = answer;
    return { plan: JSON.parse(planJson) as CapturedPlan, planJson, appHash, arrays, model };
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

function parseAnswer(stdout: string): Answer | undefined {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Answer;
  } catch {
    return undefined;
  }
}

function refusal({ code, detail, hint, output }: NonNullable<Answer['error']>): CommandError {
  const shown =
    output === undefined || output.length === 0 ? '' : `\n${output.map((line) => `  | ${line}`).join('\n')}`;
  return new CommandError(code, `${detail}${shown}`, { todo: hint });
}

const notRun = (python: string, stderr: string): CommandError =>
  new CommandError('IMPORTER_FAILED', `${python} cannot run the importer.\n${stderr.trim()}`, {
    todo: 'Name an interpreter that has flwr and the packages of the app: --python PATH',
  });

/** Hands the plan to the suite; the answer is the id of the initial model, empty when there is none. */
export async function putPlan(operator: Operator, { plan, planJson, appHash, model }: Captured): Promise<string> {
  const appId = plan['app-id'];
  const appDigest = plan['app-digest'];
  if (appId === undefined || appDigest === undefined) {
    throw new CommandError('PLAN_UNREADABLE', 'The captured plan names no app.', { exitCode: ExitCode.failed });
  }
  const request = { appHash, appDigest, appId, planJson, modelNpz: model };
  return (await operator.call('putPlan', request, { timeoutMs: 300_000 })).modelId;
}

function show(terminal: Terminal, { plan, arrays }: Captured, folder: string): void {
  terminal.table(['PLAN', ''], planRows(plan, arrays), '');
  const leftOut = plan['left-out'] ?? [];
  if (leftOut.length > 0) {
    terminal.line();
    terminal.line('Native mode leaves out:');
    for (const item of leftOut) terminal.line(`  - ${item}`);
  }
  terminal.line();
  terminal.line(`The app is known now. Start it with: flwr run ${folder}`);
}
