// A run that is masked and private, with everything real but Python: nodes behind guards whose owners ask for noise, gateway, secagg service,
// aggregator, ledger, NATS. What is released was paid for, the statement says who added the noise, and an owner who asks for more gives nothing.
import { createPrivateKey } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type RunSummary, RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { LedgerOperatorService, LedgerReaderService, ScopeKind } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { StartRunRequest, StartRunResponse } from '@aegis/contracts/flwr/proto/control';
import { epsilonOf, type PrivacyEvent } from '@aegis/core-native';
import { SigningKey } from '@aegis/core-native/secagg';
import { loadPolicy, runGuard } from '@aegis/guard';
import {
  createCrl,
  createRoot,
  inProcessChannel,
  issueCertificate,
  noTelemetry,
  openSigningCertificate,
  readRoots,
  readTls,
  silentLogger,
} from '@aegis/service-kit';
import { eventually, type TemporaryFolder, type TestPki, temporaryFolder, testPki, withNats } from '@aegis/testkit';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { aggregatorConfig, startAggregator } from '../../services/aggregator/src/index.ts';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { gatewayConfig, startGateway } from '../../services/gateway/src/index.ts';
import { rawHttp, type Target } from '../../services/gateway/src/testing/wire-client.ts';
import { accountantConfig, startAccountant } from '../../services/privacy-accountant/src/index.ts';
import { startSecagg } from '../../services/secagg/src/index.ts';
import { adds, WorkingNode } from './nodes.ts';
import { readNpz } from './npz.ts';

const NODES = 5;
const ROUNDS = 2;
const now = Date.now();
const nats = withNats();
const root = await createRoot('hospitals', 3653, now);
const closing: (() => unknown)[] = [];
let folder: TemporaryFolder;
let pki: TestPki;

beforeAll(async () => {
  folder = await temporaryFolder('masked-private');
  pki = await testPki();
  await writeFile(join(folder.path, 'root.pem'), root.certPem);
  await writeFile(join(folder.path, 'crl.pem'), await createCrl(root, [], 30, now));
  await writeFile(join(folder.path, 'unit.key'), '5a'.repeat(32), { mode: 0o600 });
});
// Two suites on one bus would give each other work.
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(async () => {
  await pki.remove();
  await folder.remove();
});

const start = async (name: string) => {
  const bus = await nats().connect();
  const deps = { bus, telemetry: noTelemetry, log: silentLogger };
  const secagg = await startSecagg({ 'federation-root': join(folder.path, 'root.pem'), threads: 1 }, deps);
  const masks = inProcessChannel(secagg.services, { log: silentLogger });
  // one bus has one ledger
  const ledgerState = join(folder.path, 'ledger');
  const accountant = await startAccountant(accountantConfig.parse({ 'state-dir': ledgerState }), deps);
  const ledger = inProcessChannel(accountant.services, { log: silentLogger });
  for (const scope of [
    { kind: ScopeKind.DATASET, name },
    { kind: ScopeKind.UNIT, name: '' },
  ])
    await eventually(() =>
      ledger.client(LedgerOperatorService).setBudget({ scope, epsilon: 1_000, delta: 0, addPartitions: [] }),
    );
  const aggregator = await startAggregator(aggregatorConfig.parse({ 'state-dir': join(folder.path, name) }), {
    ...deps,
    secagg: masks,
    ledger,
  });
  const channel = inProcessChannel(aggregator.services, { log: silentLogger });
  const { ca, cert, key } = await pki.issue({ name: 'gateway', hosts: ['localhost', '127.0.0.1'] });
  const tls = { cert, key, 'client-ca': join(folder.path, 'root.pem'), 'client-crl': join(folder.path, 'crl.pem') };
  const edge = { listen: '127.0.0.1:0', tls, enrolment: 'open', 'client-certificates': 'accept' };
  const gateway = await startGateway(gatewayConfig.parse({ ...edge, 'unit-key-file': join(folder.path, 'unit.key') }), {
    ...deps,
    aggregator: channel,
    secagg: masks,
    accountant: ledger,
  });
  closing.push(
    () => accountant.close(),
    () => secagg.drain(),
    () => aggregator.close(),
    () => gateway.close(),
  );
  const target: Target = { host: '127.0.0.1', port: gateway.address.port, ca: readTls({ ca, cert, key }).ca };
  return { target, runs: channel.client(RunsService), reader: ledger.client(LedgerReaderService) };
};

/** A node that adds `by`, behind the guard of an owner who asks for this much noise. */
const comes = async (target: Target, name: string, by: number, noise: number): Promise<{ state: string }> => {
  const state = join(folder.path, name);
  await mkdir(state, { recursive: true });
  const policyFile = join(folder.path, `${name}.yaml`);
  await writeFile(
    policyFile,
    `apps: ["*"]\nrequire-masking: true\nmasking: { cohort: 5, survivors: 4, colluders: 0.1, noise-multiplier: ${noise} }\n`,
  );
  const certificate = await issueCertificate(root, { kind: 'guard', name, days: 9 }, now);
  const { certPem: certificatePem, keyPem } = await issueCertificate(root, { kind: 'signing', name, days: 9 }, now);
  const roots = readRoots(root.certPem);
  const stopping = new AbortController();
  const connected = Promise.withResolvers<void>();
  const ended = runGuard({
    ...{ address: `${target.host}:${target.port}`, serverName: 'localhost', state, policyFile },
    ...{ loaded: loadPolicy(policyFile), command: ['flower-supernode'], env: {}, log: silentLogger },
    signing: {
      certificatePem,
      key: SigningKey.fromPkcs8(createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' })),
      open: (pem, at) => openSigningCertificate(pem, roots, at),
    },
    say: (line) => line.includes('as node ') && connected.resolve(),
    tls: { ca: target.ca as Buffer, cert: Buffer.from(certificate.certPem), key: Buffer.from(certificate.keyPem) },
    signal: stopping.signal,
    launch: (_command, args) => {
      const [at = ''] = args.slice(args.indexOf('--superlink') + 1);
      const node = new WorkingNode({ host: '127.0.0.1', port: Number(at.split(':')[1]) }, 'A', adds(by, 10));
      const { promise, resolve } = Promise.withResolvers<{ code: number | null }>();
      void eventually(() => node.start()).catch(() => {});
      return { ended: promise, end: () => node.kill().then(() => resolve({ code: 0 })) };
    },
  });
  ended.catch(connected.reject);
  closing.push(() => {
    stopping.abort(new Error('the test is over'));
    return ended.catch(() => {});
  });
  await connected.promise;
  return { state };
};

const initial = writeNpz([
  { name: 'w', npy: writeNpy(f4([3], [0, 10, 20])) },
  { name: 'b', npy: writeNpy(f4([1], [1])) },
]);
/** Little noise beside what is learned, so that the mean can be seen; the largest budget there is covers it. */
const bundle = (dataset: string, stageSeconds: number) =>
  fab({
    config: `num-server-rounds = ${ROUNDS}
min-available-nodes = ${NODES}
min-train-nodes = ${NODES}
fraction-evaluate = 0.0
aegis.initial-model = "file:init.npz"
aegis.secagg.mode = "aegis"
aegis.secagg.value-bits = 24
aegis.privacy.unit = "node"
aegis.privacy.clip = 10.5
aegis.privacy.noise-multiplier = 0.05
aegis.privacy.epsilon = 1000.0
aegis.privacy.dataset = "${dataset}"
aegis.secagg.stage-seconds = ${stageSeconds}`,
    extra: [{ name: 'init.npz', content: initial }],
  });

const startRun = async (target: Target, content: Buffer): Promise<bigint> => {
  const blank = StartRunRequest.decode(new Uint8Array());
  const answer = await rawHttp(target, undefined, {
    path: '/v1/control/start-run',
    body: StartRunRequest.encode({ ...blank, fab: { hashStr: '', content, verifications: {} } }).finish(),
    headers: { 'content-type': 'application/protobuf', 'flwr-package-version': '1.41.0' },
  });
  return StartRunResponse.decode(answer).runId ?? 0n;
};

const finishedRun = async (runs: Awaited<ReturnType<typeof start>>['runs'], runId: bigint): Promise<RunSummary> => {
  for await (const { run } of runs.watchRun({ runId })) if (run?.run?.status?.status === 'finished') return run;
  throw new Error('the run did not finish');
};

interface Statement {
  readonly model: string;
  readonly guarantee: {
    readonly unit: string;
    readonly relation: string;
    readonly epsilon: number;
    readonly delta: number;
  };
  readonly events: (PrivacyEvent & { readonly parties: number; readonly count: number })[];
  readonly noise: unknown;
}

it('comes to the mean and its noise, is paid for, and says whose noise that is', { timeout: 120_000 }, async () => {
  const { target, runs, reader } = await start('noised');
  for (let at = 0; at < NODES; at += 1) await comes(target, `noised-${at}`, at + 1, 0.05);
  const runId = await startRun(target, bundle('noised', 30));
  const run = await finishedRun(runs, runId);
  expect(run.run?.status).toMatchObject({ subStatus: 'completed' });
  expect(run.history.map(({ accepted, dropped }) => ({ accepted, dropped }))).toEqual(
    Array.from({ length: ROUNDS }, () => ({ accepted: NODES, dropped: 0 })),
  );
  const pieces: Buffer[] = [];
  const query = { modelId: run.modelId, runId: 0n, round: 0, format: 'npz' };
  for await (const { content } of runs.exportModel(query)) pieces.push(content);
  const model = readNpz(Buffer.concat(pieces));
  // each round adds 3 to every value; the noise of two rounds has a deviation of 0.2 there
  for (const [at, expected] of [6, 16, 26].entries())
    expect(Math.abs((model.w?.[at] ?? 0) - expected)).toBeLessThan(0.2 * 8);
  expect(model.w?.map((value) => value % 1).every((rest) => rest === 0)).toBe(false);

  const { payload } = await reader.statement({ runId, modelId: run.modelId });
  const said: Statement = JSON.parse(payload.toString());
  expect(said).toMatchObject({
    model: run.modelId,
    guarantee: { unit: 'node', relation: 'zero-out' },
    // five in each sum, one of whom may work with the server
    noise: [{ mechanism: 'distributed-discrete-gaussian', by: 'nodes', 'honest-nodes': 4 }],
  });
  expect(said.events.reduce((sum, { count }) => sum + count, 0)).toBe(ROUNDS);
  const anew = await epsilonOf(said.events, said.guarantee.delta);
  expect(said.guarantee.epsilon).toBeCloseTo(anew.epsilon, 6);
  expect(said.guarantee.epsilon).toBeLessThanOrEqual(run.privacy?.epsilon ?? 0);
});

it('gives nothing of an owner who asks for more noise than the plan has', { timeout: 120_000 }, async () => {
  const { target, runs } = await start('refused');
  const guards = [];
  for (let at = 0; at < NODES; at += 1) guards.push(await comes(target, `refused-${at}`, at + 1, at < 2 ? 0.06 : 0.05));
  const run = await finishedRun(runs, await startRun(target, bundle('refused', 2)));
  // three of five are too few for a sum
  expect(run.run?.status).toMatchObject({ subStatus: 'failed' });
  const audits = await Promise.all(guards.map(({ state }) => readFile(join(state, 'audit.jsonl'), 'utf8')));
  for (const [at, audit] of audits.entries()) {
    expect(audit.includes('NOISE_BELOW_FLOOR')).toBe(at < 2);
    expect(audit.includes('answer-released')).toBe(false);
  }
});
