// All services as processes that an operator watches, under the runs that make every kind of figure: one that is masked and private, one that
// has no budget, one whose nodes report loss and accuracy.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ScopeKind } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { createIssuer, createRoot, noTelemetry } from '@aegis/service-kit';
import { eventually, freePort, type TestPki, temporaryFolder, testPki } from '@aegis/testkit';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { floatsOf, npyOf } from '../../services/gateway/src/testing/npy.ts';
import { Cluster, Service } from './cluster.ts';
import { GuardedNodes } from './guarded-nodes.ts';
import { type App, examples, metric } from './nodes.ts';

export const GUARDS = 5;
const POLICY = `apps: ["*"]
require-masking: true
masking: { cohort: ${GUARDS}, survivors: 4, colluders: 0.1 }
metrics: [{ name: loss, min: 0, max: 10 }, { name: accuracy, min: 0, max: 1 }]
`;
const learns: App = (offer, { arrays }) =>
  offer.head.type === 'evaluate'
    ? { metrics: [examples(10), metric('loss', 0.5), metric('accuracy', 0.75)] }
    : {
        arrays: new Map([...arrays].map(([name, npy]) => [name, npyOf(floatsOf(npy).map((value) => value + 1))])),
        metrics: [examples(10)],
      };

const initial = writeNpz([{ name: 'w', npy: writeNpy(f4([3], [0, 10, 20])) }]);
const bundle = (lines: readonly string[]): Buffer =>
  fab({
    config: [
      'num-server-rounds = 1',
      ...[`min-available-nodes = ${GUARDS}`, `min-train-nodes = ${GUARDS}`, `min-evaluate-nodes = ${GUARDS}`],
      ...['aegis.initial-model = "file:init.npz"', 'aegis.secagg.mode = "aegis"', 'aegis.secagg.stage-seconds = 30.0'],
      ...lines,
    ].join('\n'),
    extra: [{ name: 'init.npz', content: initial }],
  });
const privately = (dataset: string): Buffer =>
  bundle([
    'fraction-evaluate = 0.0',
    ...['aegis.secagg.value-bits = 24', 'aegis.privacy.unit = "node"', 'aegis.privacy.clip = 10.5'],
    ...['aegis.privacy.noise-multiplier = 0.05', 'aegis.privacy.epsilon = 1000.0'],
    `aegis.privacy.dataset = "${dataset}"`,
  ]);

/** Of each process, by its service's name, what it answers Prometheus. */
export type Scrapes = ReadonlyMap<string, string>;

export class ObservedSuite implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly #pki: TestPki;
  readonly #issuer: Service;
  readonly #guards: Awaited<ReturnType<GuardedNodes['start']>>[];
  readonly #remove: () => Promise<void>;

  private constructor(
    cluster: Cluster,
    pki: TestPki,
    issuer: Service,
    guards: Awaited<ReturnType<GuardedNodes['start']>>[],
    remove: () => Promise<void>,
  ) {
    this.cluster = cluster;
    this.#pki = pki;
    this.#issuer = issuer;
    this.#guards = guards;
    this.#remove = remove;
  }

  /** `env`: of the services' processes, beside our own. `telemetry`: of the guards, which run in this one. */
  static async start(env: Record<string, string> = {}, telemetry = noTelemetry): Promise<ObservedSuite> {
    const folder = await temporaryFolder('observed');
    const pki = await testPki();
    const federation = await GuardedNodes.in(folder.path);
    const edge = await pki.issue({ name: 'edge', hosts: ['localhost', '127.0.0.1'] });
    const issuer = await startIssuer(folder.path, pki, env);
    const cluster = await Cluster.start({
      ...{ accountant: true, federationRoot: federation.root, metrics: true, env },
      tls: {
        ca: (await pki.material('edge')).ca,
        ...{ cert: edge.cert, key: edge.key, 'client-ca': federation.root, 'client-crl': federation.crl },
      },
    });
    for (const scope of [
      { kind: ScopeKind.DATASET, name: 'wards' },
      { kind: ScopeKind.UNIT, name: '' },
    ])
      await cluster.ledger().operator.setBudget({ scope, epsilon: 1_000, delta: 0, addPartitions: [] });
    const guards = await Promise.all(
      Array.from({ length: GUARDS }, (_, at) =>
        federation.start(`owner-${at}`, cluster.target(), POLICY, learns, telemetry),
      ),
    );
    return new ObservedSuite(cluster, pki, issuer, guards, () => folder.remove());
  }

  /** Masked and private, over all guards; resolves with its id when it is completed. */
  async trainPrivately(): Promise<bigint> {
    const runId = await this.cluster.startRun(privately('wards'));
    await this.#completed(runId);
    return runId;
  }

  /** Masked, with an evaluation that reports loss and accuracy. */
  async trainAndEvaluate(): Promise<void> {
    const lines = [
      'aegis.secagg.metrics = "loss:0:10:evaluate,accuracy:0:1:evaluate"',
      ...['aegis.secagg.weight-max = 100', 'aegis.secagg.max-examples = 100'],
    ];
    await this.#completed(await this.cluster.startRun(bundle(lines)));
  }

  /** A run that no budget covers: resolves with what its refusal says. */
  async refusedRun(): Promise<string> {
    return this.cluster.startRun(privately('no budget')).then(
      () => Promise.reject(new Error('the run was not refused')),
      (error: Error) => error.message,
    );
  }

  async scrapes(): Promise<Scrapes> {
    const { cluster } = this;
    const [aggregator, gateway] = [cluster.aggregators[0], cluster.gateways[0]];
    const { accountant, secagg } = cluster;
    const services = { aggregator, gateway, 'privacy-accountant': accountant, secagg, issuer: this.#issuer };
    const answers = Object.entries(services).map(async ([name, service]) => {
      const answer = await eventually(() => fetch(`http://127.0.0.1:${service?.metricsPort}/metrics`));
      return [name, await answer.text()] as const;
    });
    return new Map(await Promise.all(answers));
  }

  /** Ends the guards and what stands behind them; services answer on. */
  async endGuards(): Promise<void> {
    await Promise.all(this.#guards.splice(0).map((guard) => guard.end()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endGuards();
    await this.#issuer.kill();
    await this.cluster.close();
    await this.#pki.remove();
    await this.#remove();
  }

  async #completed(runId: bigint): Promise<void> {
    const { run } = await this.cluster.finished(runId);
    if (run?.status?.subStatus === 'completed') return;
    throw new Error(
      `run ${runId}: ${run?.status?.details}\n${await this.cluster.logOf(runId)}\n${this.cluster.logs()}`,
    );
  }
}

const startIssuer = async (folder: string, pki: TestPki, env: Record<string, string>): Promise<Service> => {
  const root = await createRoot('hospitals', 30, Date.now());
  const { certPem, keyPem } = await createIssuer(root, { name: 'edge', days: 20 }, Date.now());
  const [certificate, key] = [join(folder, 'issuer.pem'), join(folder, 'issuer.key')];
  await writeFile(certificate, certPem);
  await writeFile(key, keyPem, { mode: 0o600 });
  const [port, metricsPort] = [await freePort(), await freePort()];
  const config = {
    issuer: { certificate, key, 'state-dir': join(folder, 'issuer') },
    listen: {
      address: `127.0.0.1:${port}`,
      tls: await pki.issue({ name: 'issuer', hosts: ['localhost'] }),
      callers: { 'aegis.issuer.v1.Issuer': ['gateway'] },
    },
    metrics: { address: `127.0.0.1:${metricsPort}` },
  };
  const path = join(folder, 'issuer.yaml');
  await writeFile(path, JSON.stringify(config));
  const issuer = new Service('issuer', path, port, { metricsPort, env });
  issuer.start();
  return issuer;
};
