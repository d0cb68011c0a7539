import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunSummary } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { systemRandom } from '@aegis/service-kit';
import { CommandError } from '../command-error.ts';
import { capture, putPlan } from '../commands/app-import.ts';
import { exportModel } from '../commands/models-export.ts';
import { resolveConnection } from '../connection.ts';
import { Operator } from '../operator.ts';
import { RunProgress } from '../present/run-progress.ts';
import { isCompleted, runStatus } from '../present/runs.ts';
import { plainMetrics } from '../present/values.ts';
import { projectRoot } from '../python.ts';
import { type StateDirectory, stateDirectory } from '../state-directory.ts';
import { freePorts } from '../suite/free-port.ts';
import { type Suite, startSuite } from '../suite/start-suite.ts';
import type { Terminal } from '../terminal.ts';
import { cast, cliRelease, releases, wireOf } from './cast.ts';
import { type Environments, prepareEnvironments } from './environments.ts';
import { flwrRun } from './flwr-run.ts';
import { drawPicture, type PictureData } from './picture.ts';
import { reportOn } from './report.ts';
import { createNodeKey, type SuperNode, startSuperNode } from './supernode.ts';
import type { Report } from './verdict.ts';
import { isTraining } from './victim.ts';

const app = join(projectRoot, 'examples', 'digits-numpy');

/** The run goes on after the loss of one node. */
const enough = cast.length - 1;
const killIn = 3;

export interface DemoOptions {
  readonly rounds: number;
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly terminal: Terminal;
}

/** The main job from nothing to a judged model. Everything it started is gone when it returns or throws. */
export async function runDemo(options: DemoOptions): Promise<Report> {
  const { terminal, folder, env, signal } = options;
  const bins = await prepareEnvironments(releases, { env, signal, say: (text) => terminal.line(`  ${text}`) });
  await emptyFolder(folder);
  const state = stateDirectory(join(folder, 'state'));
  terminal.line('Starting the suite: development PKI, private nats-server, aggregator, gateway');
  const suite = await startSuite({
    ...{ state, host: '127.0.0.1', port: 0, san: [], enrolment: 'registered', control: 'loopback' },
    ...{
      signatures: 'per-call',
      join: false,
      clients: { rule: 'off', ca: undefined, crl: undefined },
      insecure: false,
      env,
      signal,
    },
  });
  terminal.line(`  listening on ${suite.facts.address}, TLS 1.3, only approved nodes may come`);
  const nodes: SuperNode[] = [];
  try {
    return await onStage({ ...options, bins, state, suite, nodes });
  } finally {
    terminal.clearTransient();
    await Promise.all(nodes.map(({ group }) => group.end(8000)));
    await suite.close();
  }
}

interface Stage extends DemoOptions {
  readonly bins: Environments;
  readonly state: StateDirectory;
  readonly suite: Suite;
  /** Filled as they start: who is in here is ended. */
  readonly nodes: SuperNode[];
}

async function onStage(stage: Stage): Promise<Report> {
  const { terminal, env, signal, suite, state, folder } = stage;
  const bin = binOf(stage.bins, cliRelease);
  const operator = new Operator(await resolveConnection({ state: state.root }, env), signal);
  try {
    await startNodes(stage, operator);
    terminal.line(
      `Importing ${app.slice(projectRoot.length + 1)} (aegis app import): its own ServerApp runs up to its first message`,
    );
    const captured = await capture(app, join(bin, 'python'), [], env, signal);
    await putPlan(operator, captured);
    await allOnline(operator, stage);
    terminal.line(`Starting it with the stock command: flwr run (flwr ${cliRelease})`);
    const runConfig = `num-server-rounds=${stage.rounds} min-train-nodes=${enough} min-available-nodes=${enough}`;
    const reach = { address: suite.facts.address, ca: suite.facts.ca };
    const home = join(folder, 'flwr-cli');
    const runId = await flwrRun({ app, runConfig, reach, bin, home, env, signal });
    terminal.line(`  run ${runId}; a round closes when every node has answered or is gone`);
    const run = await watch(stage, operator, runId);
    const model = join(folder, `model_round_${stage.rounds}.npz`);
    await exportModel(operator, { modelId: '', runId, round: 0, format: 'npz' }, model, terminal);
    terminal.line(`Exported ${model}; reloading it in Python, and training every node alone`);
    const python = join(bin, 'python');
    const report = await reportOn({ model, app, python, nodes: cast.length, rounds: stage.rounds, env, signal });
    const picture = join(folder, 'demo.svg');
    await writeFile(picture, drawPicture(pictureOf(run, report, stage.rounds)));
    terminal.line(`Drawn: ${picture}`);
    return report;
  } finally {
    operator.close();
  }
}

async function startNodes({ terminal, folder, env, suite, nodes, bins }: Stage, operator: Operator): Promise<void> {
  terminal.line(`Starting ${cast.length} stock SuperNodes, their keys approved (aegis nodes approve)`);
  const ports = await freePorts(cast.length);
  const { address, ca } = suite.facts;
  for (const [index, role] of cast.entries()) {
    const key = await createNodeKey(join(folder, 'keys'), role.name, systemRandom);
    const { nodeId } = await operator.call('approveNode', { publicKey: key.publicKey, name: role.name });
    const node = await startSuperNode({
      ...{ role, key, address, ca: ca ?? '', env, nodes: cast.length },
      bin: binOf(bins, role.release),
      runtimePort: ports[index] ?? 0,
      folder: join(folder, 'nodes'),
    });
    nodes.push(node);
    terminal.line(`  ${role.name.padEnd(5)} flwr ${role.release} (${wireOf(role.release)})  node ${nodeId}`);
  }
}

async function allOnline(operator: Operator, { terminal, nodes, signal }: Stage): Promise<void> {
  for (;;) {
    await demandAlive(nodes);
    const { nodes: known } = await operator.call('listNodes', {});
    const online = known.filter(({ state }) => state === 'online').length;
    terminal.transient(`  ${online} of ${cast.length} nodes online`);
    if (online >= cast.length) break;
    await sleep(300, undefined, { signal });
  }
  terminal.clearTransient();
  terminal.line(`  all ${cast.length} nodes are online`);
}

async function demandAlive(nodes: readonly SuperNode[]): Promise<void> {
  const ended = nodes.find(({ group }) => !group.running);
  if (ended === undefined) return;
  const words = await ended.lastWords();
  throw new CommandError(
    'SUPERNODE_ENDED',
    `SuperNode ${ended.role.name} (flwr ${ended.role.release}) ended.\n${words}`,
  );
}

async function watch(stage: Stage, operator: Operator, runId: bigint): Promise<RunSummary> {
  const { terminal, nodes, rounds, signal } = stage;
  const progress = new RunProgress(terminal);
  const victim = nodes.find(({ role }) => role.victim === true);
  let killed: Promise<void> | undefined;
  let last: RunSummary | undefined;
  for await (const event of operator.stream('watchRun', { runId })) {
    progress.show(event);
    last = event.run ?? last;
    if (killed !== undefined || victim === undefined || !isTraining(event, Math.min(killIn, rounds))) continue;
    killed = (async () => {
      // It has its task by then, and is at work on it.
      await sleep(700, undefined, { signal });
      await victim.group.kill();
      terminal.clearTransient();
      terminal.line(
        `  ✂ ${victim.role.name} (flwr ${victim.role.release}) is killed in the middle of round ${Math.min(killIn, rounds)}`,
      );
    })();
    killed.catch(() => undefined);
  }
  await killed;
  if (last === undefined || !isCompleted(last)) {
    const status = last === undefined ? 'unknown' : runStatus(last);
    throw new CommandError('RUN_FAILED', `The run is ${status}: ${last?.run?.status?.details ?? ''}`);
  }
  if (victim !== undefined && killed === undefined) {
    throw new CommandError('NOBODY_KILLED', `Round ${killIn} was over before ${victim.role.name} could be killed.`);
  }
  return last;
}

function pictureOf(run: RunSummary, { federated, alone }: Report, rounds: number): PictureData {
  const victim = cast.find((role) => role.victim === true);
  return {
    rounds: run.history.map((round) => Number(plainMetrics(round.evaluateMetrics).accuracy ?? 0)),
    together: federated.accuracy,
    alone: alone.map(({ accuracy }, partition) => ({
      name: cast.find((role) => role.partition === partition)?.name ?? `${partition}`,
      accuracy,
    })),
    killed: victim && { name: victim.name, round: Math.min(killIn, rounds) },
  };
}

function binOf(bins: Environments, release: string): string {
  const bin = bins.get(release);
  if (bin === undefined) throw new Error(`no environment for flwr ${release}`);
  return bin;
}

const marker = '.aegis-demo';

/** The demo begins from nothing. It only ever empties a folder that an earlier demo filled. */
async function emptyFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const entries = await readdir(folder);
  if (entries.length > 0 && !entries.includes(marker)) {
    throw new CommandError('FOLDER_NOT_EMPTY', `${folder} holds something that is not of a demo.`, {
      todo: 'Choose an empty folder with --state DIR.',
    });
  }
  await writeFile(join(folder, marker), '');
  for (const entry of entries) {
    if (entry !== marker) await rm(join(folder, entry), { recursive: true, force: true });
  }
}
