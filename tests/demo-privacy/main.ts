// make demo-privacy: a private run over two hundred nodes, killed in the middle, and a second one that finds the budget spent.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunSummary } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { systemRandom } from '@aegis/service-kit';
import { capture, putPlan } from '../../cli/src/commands/app-import.ts';
import { resolveConnection } from '../../cli/src/connection.ts';
import type { Role } from '../../cli/src/demo/cast.ts';
import { prepareEnvironments } from '../../cli/src/demo/environments.ts';
import { flwrRun } from '../../cli/src/demo/flwr-run.ts';
import { createNodeKey, type SuperNode, startSuperNode } from '../../cli/src/demo/supernode.ts';
import { Operator } from '../../cli/src/operator.ts';
import { projectRoot, runToEnd } from '../../cli/src/python.ts';
import { freePorts } from '../../cli/src/suite/free-port.ts';
import { readNpy, readNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { setBudgets, spentOf } from './budget.ts';
import { CrowdNode } from './crowd.ts';
import { accuracy, heldOut, type Images, type Model, nodeData, readDigits } from './digits.ts';
import { drawPrivacy, type Point } from './picture.ts';
import { SuiteProcess } from './suite-process.ts';

const CROWD = 200;
const ROUNDS = 8;
const EPSILON = 4;
const DATASET = 'digits';
const KILL_IN = [3, 6];
const learning = { epochs: 10, learningRate: 1 };
const stock: readonly Role[] = [
  { name: 'ada', release: '1.41.0', partition: CROWD },
  { name: 'bob', release: '1.39.0', partition: CROWD + 1 },
];
const everybody = CROWD + stock.length;

const folder = join(projectRoot, '.aegis', 'demo-privacy');
const app = join(projectRoot, 'examples', 'digits-private');
const started = performance.now();
const LIMIT_SECONDS = 170;
const limit = AbortSignal.timeout(LIMIT_SECONDS * 1000);
/** What the demo waits for, to be said when it waits too long. */
let waitsFor = 'the Python environments';
const say = (line: string): void => void process.stdout.write(`${line}\n`);

await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true, mode: 0o700 });
const bins = await prepareEnvironments(['1.41.0', '1.39.0'], { env: process.env, signal: limit, say });
const bin = bins.get('1.41.0') as string;
const state = join(folder, 'state');
const suite = new SuiteProcess(state, process.env);
const crowd: CrowdNode[] = [];
const superNodes: SuperNode[] = [];
let failed: unknown;
try {
  await demo();
} catch (error) {
  failed = limit.aborted ? new Error(`over ${LIMIT_SECONDS} s; it still waited for ${waitsFor}`) : error;
} finally {
  for (const node of crowd) void node.stop();
  await Promise.all(superNodes.map(({ group }) => group.end(5000)));
  await suite.end();
}
if (failed !== undefined) {
  say(`demo-privacy: failed: ${(failed as Error).message}`);
  process.exit(1);
}
process.exit(process.exitCode ?? 0);

async function demo(): Promise<void> {
  const { address, ca } = await suite.start();
  say(`The suite is up on ${address}; the data set "${DATASET}" may spend ε ${EPSILON}, and so may each node`);
  await withOperator((operator) => setBudgets(operator, DATASET, EPSILON));
  const images = await startNodes();
  const captured = await capture(app, join(bin, 'python'), [], process.env, limit);
  await withOperator((operator) => putPlan(operator, captured));
  await allOnline();
  const reach = { address, ca };
  const runConfig = `num-server-rounds=${ROUNDS} min-train-nodes=${everybody} min-available-nodes=${everybody}`;
  const options = { app, reach, bin, home: join(folder, 'flwr-cli'), env: process.env, signal: limit };
  const runId = await flwrRun({ ...options, runConfig });
  say(`Run ${runId}: ${ROUNDS} rounds, each update clipped, noised once, paid for before anybody is asked`);
  say('  round  spent ε  budget left  held-out accuracy');
  const { points, neverLower } = await watch(runId, images);
  await writeFile(join(folder, 'demo-privacy.svg'), drawPrivacy(points, EPSILON));
  say(`Drawn: ${join(folder, 'demo-privacy.svg')}`);
  const refusal = await flwrRun({ ...options, runConfig }).then(
    () => null,
    (error: Error) => error.message,
  );
  const words =
    refusal === null ? undefined : /PRIVACY_BUDGET_EXHAUSTED[^"\n]*|privacy budget[^"\n]*/i.exec(refusal)?.[0];
  say(
    words === undefined
      ? `The second run was not refused for its budget: ${refusal}`
      : `A second run is refused:\n  ${words}`,
  );
  const last = points.at(-1);
  const seconds = Math.round((performance.now() - started) / 1000);
  if (words === undefined || !neverLower) process.exitCode = 1;
  say(
    `demo-privacy: epsilon=${last?.epsilon.toFixed(2)} accuracy=${last?.accuracy.toFixed(2)} rounds=${points.length} nodes=${everybody} kills=${KILL_IN.length} second-run=${words === undefined ? 'ran' : 'refused'} budget=${neverLower ? 'kept' : 'FORGOTTEN'} seconds=${seconds}`,
  );
}

async function startNodes(): Promise<Images> {
  const { address, ca, host, port } = suite.facts;
  const images = await readDigits(await sklearnDigits());
  const target = { host, port, ca: await readFile(ca) };
  for (let index = 0; index < CROWD; index += 1) {
    const node = new CrowdNode(target, nodeData(images, index, everybody), learning);
    node.start();
    crowd.push(node);
  }
  const ports = await freePorts(stock.length);
  for (const [index, role] of stock.entries()) {
    const key = await createNodeKey(join(folder, 'keys'), role.name, systemRandom);
    await withOperator((operator) => operator.call('approveNode', { publicKey: key.publicKey, name: role.name }));
    const options = { role, key, address, ca, env: process.env, nodes: everybody, folder: join(folder, 'nodes') };
    superNodes.push(
      await startSuperNode({ ...options, bin: bins.get(role.release) as string, runtimePort: ports[index] ?? 0 }),
    );
  }
  say(
    `${CROWD} nodes in this process and ${stock.length} stock SuperNodes (flwr ${stock.map(({ release }) => release).join(', ')}) come to work`,
  );
  return images;
}

async function sklearnDigits(): Promise<string> {
  const script = 'from importlib.util import find_spec; print(find_spec("sklearn").origin)';
  const { stdout } = await runToEnd(join(bin, 'python'), ['-c', script], { env: process.env, signal: limit });
  return join(stdout.trim(), '..', 'datasets', 'data', 'digits.csv.gz');
}

async function allOnline(): Promise<void> {
  for (;;) {
    const { nodes } = await withOperator((operator) => operator.call('listNodes', {}));
    const online = nodes.filter(({ state: is }) => is === 'online').length;
    if (online >= everybody) return;
    waitsFor = `nodes, of which ${online} of ${everybody} were online`;
    await sleep(300, undefined, { signal: limit });
  }
}

/** Prints each round as it is released, and kills the whole suite in some of them. */
async function watch(runId: bigint, images: Images): Promise<{ points: Point[]; neverLower: boolean }> {
  const test = heldOut(images);
  const points: Point[] = [];
  const toKill = [...KILL_IN];
  let neverLower = true;
  for (;;) {
    const run = await withOperator((operator) => operator.call('listRuns', { runId, limit: 1, skip: 0 })).then(
      ({ runs }) => runs[0],
    );
    for (const summary of run?.history.slice(points.length) ?? []) {
      const killed = KILL_IN.includes(summary.round) && !toKill.includes(summary.round);
      const model = await modelOf(runId, summary.round);
      const { epsilon = Number.NaN, left = 0 } = summary.privacy ?? {};
      points.push({ round: summary.round, epsilon, accuracy: accuracy(model, test), killed });
      say(
        `  ${String(summary.round).padStart(5)}  ${epsilon.toFixed(3).padStart(7)}  ${`${Math.floor(left * 100)} %`.padStart(11)}  ${accuracy(model, test).toFixed(3).padStart(17)}`,
      );
    }
    waitsFor = `round ${points.length + 1} of ${ROUNDS}, ${run?.phase}`;
    if (run?.run?.status?.status === 'finished') {
      if (run.run.status.subStatus !== 'completed')
        throw new Error(`the run is ${run.run.status.subStatus}: ${run.run.status.details}`);
      return { points, neverLower };
    }
    if (run !== undefined && isTraining(run, toKill[0])) {
      const round = toKill.shift();
      const before = await withOperator((operator) => spentOf(operator, DATASET));
      await suite.kill();
      await suite.start();
      const after = await withOperator((operator) => spentOf(operator, DATASET));
      neverLower &&= after >= before;
      say(
        `  kill -9 of every process in round ${round}: spent ε ${before.toFixed(3)} before, ${after.toFixed(3)} after`,
      );
    }
    await sleep(150, undefined, { signal: limit });
  }
}

function isTraining(run: RunSummary, round: number | undefined): boolean {
  return round !== undefined && run.history.length === round - 1 && run.phase === 'training';
}

async function modelOf(runId: bigint, round: number): Promise<Model> {
  const pieces: Buffer[] = [];
  await withOperator(async (operator) => {
    for await (const { content } of operator.stream('exportModel', { modelId: '', runId, round, format: 'npz' }))
      pieces.push(content);
  });
  const arrays = await readNpz(Buffer.concat(pieces));
  const array = (name: string): Float64Array =>
    Float64Array.from(readNpy(arrays.find((one) => one.name === name)?.npy ?? Buffer.alloc(0)).values);
  return { weight: array('weight'), bias: array('bias') };
}

async function withOperator<T>(work: (operator: Operator) => Promise<T>): Promise<T> {
  const operator = new Operator(await resolveConnection({ state }, process.env), limit);
  try {
    return await work(operator);
  } finally {
    operator.close();
  }
}
