// A masked run with everything real but Python: nodes behind guards, gateway, secagg service, aggregator, NATS. The model is the mean; what
// travels between the services is looked at, message by message.

import { createPrivateKey } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type RunSummary, RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { StartRunRequest, StartRunResponse } from '@aegis/contracts/flwr/proto/control';
import { SigningKey } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { loadPolicy, runGuard } from '@aegis/guard';
import {
  createCrl,
  createRoot,
  inProcessChannel,
  issueCertificate,
  type LocalService,
  noTelemetry,
  openSigningCertificate,
  readRoots,
  readTls,
  type ServiceClient,
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
import { type Secagg, startSecagg } from '../../services/secagg/src/index.ts';
import { Cluster } from './cluster.ts';
import { adds, WorkingNode } from './nodes.ts';
import { readNpz } from './npz.ts';
import { recorded, type Said } from './recorded.ts';

const NODES = 5;
const now = Date.now();
const nats = withNats();
const root = await createRoot('hospitals', 3653, now);
const closing: (() => unknown)[] = [];
let folder: TemporaryFolder;
let pki: TestPki;

beforeAll(async () => {
  folder = await temporaryFolder('masked-run');
  pki = await testPki();
  await writeFile(join(folder.path, 'root.pem'), root.certPem);
  await writeFile(join(folder.path, 'crl.pem'), await createCrl(root, [], 30, now));
});
// Two suites on one bus would give each other work.
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(async () => {
  await pki.remove();
  await folder.remove();
});

/** The service as others meet it: it dies in the middle of a call, and its successor is up after two that find nobody. */
class MortalSecagg {
  deaths = 0;
  readonly services: LocalService[];
  readonly #start: () => Promise<Secagg>;
  #alive: Secagg | null;
  #every = Number.POSITIVE_INFINITY;
  #calls = 0;
  #missed = 0;

  private constructor(first: Secagg, start: () => Promise<Secagg>) {
    this.#alive = first;
    this.#start = start;
    this.services = first.services.map((service, at) => this.#mortal(service, at));
  }

  static async begin(start: () => Promise<Secagg>): Promise<MortalSecagg> {
    return new MortalSecagg(await start(), start);
  }

  dieEvery(calls: number): void {
    this.#every = calls;
  }

  async end(): Promise<void> {
    await this.#alive?.drain();
  }

  #mortal(service: LocalService, at: number): LocalService {
    const handlers = Object.fromEntries(
      Object.entries(service.definition).map(([method, { responseStream }]) => [
        method,
        responseStream
          ? async function* (this: MortalSecagg, request: unknown, context: unknown) {
              yield* (await this.#handler(at, method))(request, context) as AsyncIterable<unknown>;
            }.bind(this)
          : async (request: unknown, context: unknown) => {
              const handler = await this.#handler(at, method);
              const answered = handler(request, context) as Promise<unknown>;
              if (this.#calls % this.#every === 0) {
                void answered.catch(() => {});
                await this.#die();
              }
              return answered;
            },
      ]),
    );
    return { ...service, handlers } as LocalService;
  }

  async #handler(at: number, method: string): Promise<(request: unknown, context: unknown) => unknown> {
    this.#calls += 1;
    if (this.#alive === null) {
      this.#missed += 1;
      if (this.#missed % 2 === 0) this.#alive = await this.#start();
      throw new AegisError('UNAVAILABLE', 'The secagg service is dead.');
    }
    return this.#alive.services[at]?.handlers[method] as (request: unknown, context: unknown) => unknown;
  }

  /** Whoever waits at it hears nothing. */
  async #die(): Promise<void> {
    this.deaths += 1;
    const dying = this.#alive;
    this.#alive = null;
    await dying?.drain();
    throw new AegisError('UNAVAILABLE', 'The secagg service died.');
  }
}

/** All services, and what the two that must not know each other's were told and said. */
const start = async (name: string) => {
  const bus = await nats().connect();
  const deps = { bus, telemetry: noTelemetry, log: silentLogger };
  const told: { secagg: Said[]; aggregator: Said[] } = { secagg: [], aggregator: [] };
  const mortal = await MortalSecagg.begin(() =>
    startSecagg({ 'federation-root': join(folder.path, 'root.pem'), threads: 1 }, deps),
  );
  const masks = inProcessChannel(
    mortal.services.map((service) => recorded(service, told.secagg)),
    { log: silentLogger },
  );
  const aggregator = await startAggregator(aggregatorConfig.parse({ 'state-dir': join(folder.path, name) }), {
    ...deps,
    secagg: masks,
  });
  const channel = inProcessChannel(
    aggregator.services.map((service) => recorded(service, told.aggregator)),
    { log: silentLogger },
  );
  const { ca, cert, key } = await pki.issue({ name: 'gateway', hosts: ['localhost', '127.0.0.1'] });
  const tls = { cert, key, 'client-ca': join(folder.path, 'root.pem'), 'client-crl': join(folder.path, 'crl.pem') };
  const gateway = await startGateway(
    gatewayConfig.parse({ listen: '127.0.0.1:0', tls, enrolment: 'open', 'client-certificates': 'accept' }),
    { ...deps, aggregator: channel, secagg: masks },
  );
  closing.push(
    () => mortal.end(),
    () => aggregator.close(),
    () => gateway.close(),
  );
  const target: Target = { host: '127.0.0.1', port: gateway.address.port, ca: readTls({ ca, cert, key }).ca };
  return { target, told, mortal, runs: channel.client(RunsService) };
};

/** A node that adds `by`, behind its guard. */
const comes = async (target: Target, name: string, by: number): Promise<void> => {
  const state = join(folder.path, name);
  await mkdir(state, { recursive: true });
  const policyFile = join(folder.path, `${name}.yaml`);
  await writeFile(policyFile, 'apps: ["*"]\nmetrics: [{ name: seen, min: 0, max: 10 }]\nrequire-masking: true\n');
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
    tls: {
      ca: target.ca as Buffer,
      cert: Buffer.from(certificate.certPem),
      key: Buffer.from(certificate.keyPem),
    },
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
};

const initial = writeNpz([
  { name: 'w', npy: writeNpy(f4([3], [0, 10, 20])) },
  { name: 'b', npy: writeNpy(f4([1], [1])) },
]);
const bundle = fab({
  config: `num-server-rounds = 2
min-available-nodes = ${NODES}
min-train-nodes = ${NODES}
fraction-evaluate = 0.0
aegis.initial-model = "file:init.npz"
aegis.secagg.mode = "aegis"
aegis.secagg.clip = 8.0
aegis.secagg.metrics = "seen:0:10"`,
  extra: [{ name: 'init.npz', content: initial }],
});

const startRun = async (target: Target): Promise<bigint> => {
  const blank = StartRunRequest.decode(new Uint8Array());
  const answer = await rawHttp(target, undefined, {
    path: '/v1/control/start-run',
    body: StartRunRequest.encode({ ...blank, fab: { hashStr: '', content: bundle, verifications: {} } }).finish(),
    headers: { 'content-type': 'application/protobuf', 'flwr-package-version': '1.41.0' },
  });
  return StartRunResponse.decode(answer).runId ?? 0n;
};

/** Each round adds (1 + 2 + 3 + 4 + 5) / 5 to every value. */
const expectTheMean = async (runs: ServiceClient<RunsService>, runId: bigint): Promise<void> => {
  let finished: RunSummary | undefined;
  for await (const { run } of runs.watchRun({ runId })) {
    finished = run;
    if (run?.run?.status?.status === 'finished') break;
  }
  expect(finished?.run?.status).toMatchObject({ status: 'finished', subStatus: 'completed' });
  expect(finished?.history.map(({ accepted, refused, dropped }) => ({ accepted, refused, dropped }))).toEqual(
    Array.from({ length: 2 }, () => ({ accepted: NODES, refused: 0, dropped: 0 })),
  );
  const pieces: Buffer[] = [];
  const query = { modelId: finished?.modelId ?? '', runId: 0n, round: 0, format: 'npz' };
  for await (const { content } of runs.exportModel(query)) pieces.push(content);
  const model = readNpz(Buffer.concat(pieces));
  for (const [at, expected] of [6, 16, 26].entries()) expect(model.w?.[at]).toBeCloseTo(expected, 2);
  expect(model.b?.[0]).toBeCloseTo(7, 2);
};

it('comes to the mean of its nodes, and neither service sees what is the other’s', { timeout: 120_000 }, async () => {
  const { target, told, runs } = await start('seen');
  for (let at = 0; at < NODES; at += 1) await comes(target, `seen-${at}`, at + 1);
  await expectTheMean(runs, await startRun(target));

  const vectors = told.aggregator.filter(({ method }) => method === 'appendPart').map(({ request }) => request);
  expect(vectors).toHaveLength(2 * NODES);
  const toSecagg = told.secagg.map(({ method, request, response }) =>
    method === 'unmask' ? request : request + response,
  );
  for (const vector of vectors) {
    const { content } = JSON.parse(vector) as { content: string };
    for (let at = 0; at + 8 <= content.length; at += 8) {
      const piece = JSON.stringify(content.slice(at, at + 8)).slice(1, -1);
      expect(toSecagg.some((message) => message.includes(piece))).toBe(false);
    }
  }
  const answers = told.secagg.filter(({ method }) => method === 'exchange').map(({ request }) => request);
  // What the aggregator says itself: which model.
  const models = new Set(told.aggregator.flatMap(({ response }) => response.match(/[0-9a-f]{64}/g) ?? []));
  const secrets = answers.flatMap((answer) => answer.match(/[0-9a-f]{64,}/g) ?? []).filter((one) => !models.has(one));
  expect(secrets.length).toBeGreaterThan(2 * NODES * NODES);
  const toAggregator = [
    ...told.aggregator.map(({ request, response }) => request + response),
    ...told.secagg.filter(({ method }) => method !== 'exchange').map(({ request, response }) => request + response),
  ].join('\n');
  for (const secret of secrets) expect(toAggregator.includes(secret)).toBe(false);
});

it('comes to the same when the secagg service dies again and again', { timeout: 120_000 }, async () => {
  const { target, runs, mortal } = await start('dies');
  for (let at = 0; at < NODES; at += 1) await comes(target, `dies-${at}`, at + 1);
  mortal.dieEvery(11);
  await expectTheMean(runs, await startRun(target));
  expect(mortal.deaths).toBeGreaterThan(3);
});

it('comes to the same as separate processes, of which secagg is killed in every stage', {
  timeout: 120_000,
}, async () => {
  const { ca, cert, key } = await pki.issue({ name: 'gateway', hosts: ['localhost', '127.0.0.1'] });
  const federationRoot = join(folder.path, 'root.pem');
  const cluster = await Cluster.start({
    federationRoot,
    tls: {
      ...{ cert, key, ca: readTls({ ca, cert, key }).ca as Buffer },
      ...{ 'client-ca': federationRoot, 'client-crl': join(folder.path, 'crl.pem') },
    },
  });
  closing.push(() => cluster.close());
  for (let at = 0; at < NODES; at += 1) await comes(cluster.target(), `process-${at}`, at + 1);
  const [aggregator, secagg] = [cluster.aggregators[0], cluster.secagg];
  if (aggregator === undefined || secagg === undefined) throw new Error('both were started');

  const stop = new AbortController();
  const killed: string[] = [];
  const killing = (async () => {
    const facts = await (await cluster.nats.connect()).bucket('secagg-facts');
    for await (const item of facts.watch(undefined, stop.signal)) {
      const stage = item.type === 'entry' ? (item.key.split('.')[2] ?? '') : '';
      if (killed.includes(stage) || !['advertise', 'share', 'confirm', 'unmask'].includes(stage)) continue;
      killed.push(stage);
      await secagg.kill();
      secagg.start();
    }
  })();
  await expectTheMean(cluster.runs(aggregator), await startRun(cluster.target()));
  stop.abort();
  await killing;
  expect(killed.sort()).toEqual(['advertise', 'confirm', 'share', 'unmask']);
});
