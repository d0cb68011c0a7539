// make demo-secagg: five stock SuperNodes behind guards train under masks; one guard is killed before its masked input, one after it.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunSummary } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { capture, putPlan } from '../../cli/src/commands/app-import.ts';
import { resolveConnection } from '../../cli/src/connection.ts';
import { cast, cliRelease, releases, wireOf } from '../../cli/src/demo/cast.ts';
import { prepareEnvironments } from '../../cli/src/demo/environments.ts';
import { flwrRun } from '../../cli/src/demo/flwr-run.ts';
import { Operator } from '../../cli/src/operator.ts';
import { projectRoot, runToEnd } from '../../cli/src/python.ts';
import { stateDirectory } from '../../cli/src/state-directory.ts';
import { freePorts } from '../../cli/src/suite/free-port.ts';
import { DemoFederation } from './federation.ts';
import { GuardedNode } from './guarded-node.ts';
import { type Kill, killAfterInput, killBeforeInput } from './kills.ts';
import { knockEverywhere } from './probes.ts';
import { SeparateServices } from './services.ts';
import { judge } from './verdict.ts';

/** The last of them have everybody again: what is compared is what masks cost, and not what the data of two killed nodes is worth. */
const ROUNDS = 6;
const KILL_BEFORE_IN = 2;
const KILL_AFTER_IN = 3;
const everybody = cast.length;
const POLICY = `apps: [aegis/digits-numpy]
metrics: [{ name: accuracy, min: 0, max: 1 }, { name: loss, min: 0, max: 20 }]
masking: { cohort: 4, survivors: 3, colluders: 0.1 }
`;
const MASKS = [
  'aegis.secagg.mode="aegis" aegis.secagg.metrics="accuracy:0:1,loss:0:20"',
  'aegis.secagg.weight-max=1000 aegis.secagg.max-examples=1000 aegis.secagg.stage-seconds=8',
].join(' ');

const folder = join(projectRoot, '.aegis', 'demo-secagg');
const app = join(projectRoot, 'examples', 'digits-numpy');
const started = performance.now();
const limit = AbortSignal.timeout(175_000);
const say = (line: string): void => void process.stdout.write(`${line}\n`);

await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true, mode: 0o700 });
const bins = await prepareEnvironments(releases, { env: process.env, signal: limit, say });
const bin = bins.get(cliRelease) as string;
const state = join(folder, 'state');
const federation = await DemoFederation.found(join(folder, 'federation'));
const suite = new SeparateServices(stateDirectory(state), federation, process.env);
const nodes: GuardedNode[] = [];
let failed: unknown;
try {
  await demo();
} catch (error) {
  failed = error;
} finally {
  await Promise.all(nodes.map((node) => node.end()));
  await suite.end();
}
if (failed !== undefined) {
  say(`demo-secagg: failed: ${(failed as Error).message}`);
  process.exit(1);
}
process.exit(process.exitCode ?? 0);

async function demo(): Promise<void> {
  const { address, ca } = await suite.start(limit);
  say(`Gateway, aggregator, secagg service, accountant and NATS run by themselves; the gateway is on ${address}`);
  const probes = await knockEverywhere(suite, await federation.admit('probe'));
  const doors =
    probes.complaints.length === 0 ? `${probes.doors} doors shut without the right certificate` : 'NOT SHUT';
  say(`  mutual TLS between all of them, and every node must show a certificate of the federation: ${doors}`);
  await startNodes();
  const captured = await capture(app, join(bin, 'python'), [], process.env, limit);
  await withOperator((operator) => putPlan(operator, captured));
  await allOnline();
  const options = { app, reach: { address, ca }, bin, home: join(folder, 'flwr-cli'), env: process.env, signal: limit };
  const least = everybody - 1;
  const size = `num-server-rounds=${ROUNDS} min-train-nodes=${least} min-available-nodes=${least} min-evaluate-nodes=${least} fraction-evaluate=0.0`;
  const plainRun = await flwrRun({ ...options, runConfig: size });
  await finished(plainRun);
  const plain = await accuracyOf(plainRun);
  say(`Run ${plainRun} without masks: held-out accuracy ${plain.toFixed(3)} after ${ROUNDS} rounds`);
  const run = await flwrRun({ ...options, runConfig: `${size} ${MASKS}` });
  say(`Run ${run} with masks: every update, weight and metric leaves inside a sum of at least four`);
  const kills = killInRounds(run);
  kills.catch(() => undefined);
  const summary = await finished(run);
  const { before, after } = await kills;
  const accuracy = await accuracyOf(run);
  const {
    complaints: found,
    sums,
    fewest,
  } = judge({
    ...{ before, after, accuracy, plain },
    rounds: summary.history,
    joined: await auditOfAll('round-joined', run),
    opened: await auditOfAll('sum-opened', run),
  });
  const complaints = [...probes.complaints, ...found];
  for (const complaint of complaints) say(`  not as it should be: ${complaint}`);
  if (complaints.length > 0) process.exitCode = 1;
  const seconds = Math.round((performance.now() - started) / 1000);
  const killed = `killed-before-input=${before.name}@${before.round} killed-after-input=${after.name}@${after.round}`;
  say(
    `demo-secagg: accuracy=${accuracy.toFixed(3)} plain=${plain.toFixed(3)} rounds=${ROUNDS} nodes=${everybody} ${killed} sums-opened=${sums} fewest-in-a-sum=${fewest} floors=${found.length === 0 ? 'kept' : 'BROKEN'} mutual-tls=${probes.complaints.length === 0 ? probes.doors : 'BROKEN'} seconds=${seconds}`,
  );
}

async function startNodes(): Promise<void> {
  const { address, ca } = suite.facts;
  const ports = await freePorts(everybody);
  for (const [index, role] of cast.entries()) {
    const node = new GuardedNode({
      ...{ role, federationRoot: federation.root, server: { address, ca }, policy: POLICY },
      ...{ owner: await federation.admit(role.name), bin: bins.get(role.release) as string, nodes: everybody },
      ...{ folder: join(folder, 'nodes'), runtimePort: ports[index] ?? 0, env: process.env },
    });
    nodes.push(node);
    await node.start();
    say(`  ${role.name.padEnd(5)} aegis guard -- flower-supernode, flwr ${role.release} (${wireOf(role.release)})`);
  }
}

/** One before its vector left and one after. A guard that is started again goes on where it was: so each stays away until its round is over. */
async function killInRounds(run: bigint): Promise<{ before: Kill; after: Kill }> {
  const bob = nodes.find(({ role }) => role.victim === true);
  if (bob === undefined) throw new Error('the cast has no victim');
  const before = await killBeforeInput(bob, run, KILL_BEFORE_IN, limit);
  say(`  ✂ ${before.name} is killed in round ${before.round}: its keys are shared, its update has not left`);
  await recorded(run, before.round);
  await bob.start();
  for (let round = KILL_AFTER_IN; round <= ROUNDS; round += 1) {
    const after = await killAfterInput(nodes, run, round, limit);
    if (after === null) continue;
    say(`  ✂ ${after.name} is killed in round ${after.round}: the server has its masked update, the sum is not open`);
    await recorded(run, after.round);
    await nodes.find(({ role }) => role.name === after.name)?.start();
    return { before, after };
  }
  throw new Error('nobody could be killed between its masked update and the sum');
}

async function recorded(runId: bigint, round: number): Promise<void> {
  for (;;) {
    const run = await runOf(runId);
    if (run?.history.some((one) => one.round === round)) return;
    await sleep(100, undefined, { signal: limit });
  }
}

async function runOf(runId: bigint): Promise<RunSummary | undefined> {
  return withOperator(async (operator) => (await operator.call('listRuns', { runId, limit: 1, skip: 0 })).runs[0]);
}

async function allOnline(): Promise<void> {
  for (;;) {
    const { nodes: known } = await withOperator((operator) => operator.call('listNodes', {}));
    if (known.filter(({ state: is }) => is === 'online').length >= everybody) return;
    const gone = nodes.find((node) => !node.isRunning);
    if (gone) throw new Error(`the guard of ${gone.role.name} ended:\n${await gone.lastWords()}`);
    await sleep(300, undefined, { signal: limit });
  }
}

async function finished(runId: bigint): Promise<RunSummary> {
  let shown = 0;
  for (;;) {
    const run = await runOf(runId);
    for (const { round, cohort, accepted, masking } of run?.history.slice(shown) ?? []) {
      shown += 1;
      const masked = masking && `; ${masking.delivered} masked vectors in the sum, ${masking.opened} helped to open it`;
      say(`  round ${round}: ${accepted} of ${cohort} answers${masked ?? ''}`);
    }
    if (run?.run?.status?.status === 'finished') {
      const { subStatus, details } = run.run.status;
      if (subStatus === 'completed') return run;
      throw new Error(`the run is ${subStatus}: ${details}`);
    }
    await sleep(200, undefined, { signal: limit });
  }
}

/** On the images that no node has seen. */
async function accuracyOf(runId: bigint): Promise<number> {
  const file = join(folder, `model-${runId}.npz`);
  const pieces: Buffer[] = [];
  await withOperator(async (operator) => {
    const chosen = { modelId: '', runId, round: 0, format: 'npz' };
    for await (const { content } of operator.stream('exportModel', chosen)) pieces.push(content);
  });
  await writeFile(file, Buffer.concat(pieces));
  const script =
    'import sys, numpy; from digits_numpy import task; print(task.evaluate_arrays(numpy.load(sys.argv[1]))["accuracy"])';
  const env = { ...process.env, PYTHONPATH: app, PYTHONDONTWRITEBYTECODE: '1' };
  const { code, stdout, stderr } = await runToEnd(join(bin, 'python'), ['-c', script, file], { env, signal: limit });
  if (code !== 0) throw new Error(`the model could not be judged: ${stderr}`);
  return Number(stdout);
}

async function auditOfAll(event: string, run: bigint) {
  const lines = await Promise.all(nodes.map((node) => node.audit(event)));
  return lines.flat().filter((line) => line.run === String(run));
}

async function withOperator<T>(work: (operator: Operator) => Promise<T>): Promise<T> {
  const operator = new Operator(await resolveConnection({ state }, process.env), limit);
  try {
    return await work(operator);
  } finally {
    operator.close();
  }
}
