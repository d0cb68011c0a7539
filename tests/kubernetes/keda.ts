// The suite with gateways that KEDA adds and takes away by what Prometheus says of them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { undisturbed } from '../suite/crash-app.ts';
import { cluster } from './cluster.ts';
import { finished, reach, startCrowd } from './federation.ts';
import { type Figure, ready } from './figures.ts';
import { imageOf, loadProgram, moduleCopy, type Program } from './programs.ts';
import { files, type InstallOptions, namespace, singleNode } from './suite.ts';

const kedaCopy = (): string => moduleCopy('github.com/kedacore/keda/v2', 'v2.21.0');
const operator: Program = { name: 'keda', version: 'v2.21.0', folder: kedaCopy, main: './cmd/operator' };
const adapter: Program = { ...operator, name: 'keda-adapter', main: './cmd/adapter' };
const prometheus: Program = {
  ...{ name: 'prometheus', version: 'v0.316.0', main: './cmd/prometheus' },
  folder: () => moduleCopy('github.com/prometheus/prometheus', 'v0.316.0'),
  // It finds what it reads by asking Kubernetes, and by none of thirty other ways.
  tags: 'remove_all_sd,enable_kubernetes_sd',
};

const [fewest, most] = [1, 3];

/** A pod is meant to take 100 kB/s: three nodes that answer at once bring several times as much. */
export const autoscaled: InstallOptions = {
  ...singleNode,
  set: {
    ...{ 'gateway.autoscaling.enabled': true, 'gateway.autoscaling.engine': 'keda' },
    ...{ 'gateway.autoscaling.minReplicas': fewest, 'gateway.autoscaling.maxReplicas': most },
    ...{ 'gateway.autoscaling.bodyBytesPerSecond': 100_000, 'gateway.autoscaling.eventLoopLagSeconds': '1' },
    'metrics.prometheusAddress': 'http://prometheus.monitoring.svc:9090',
  },
};

export async function startKeda(): Promise<void> {
  for (const program of [operator, adapter, prometheus]) await loadProgram(program);
  await cluster.kubectl('apply', '--server-side', '-f', join(import.meta.dirname, 'prometheus.yaml'));
  await cluster.kubectl('-n', 'monitoring', 'rollout', 'status', 'deploy/prometheus', '--timeout=120s');
  await cluster.kubectl('apply', '--server-side', '-k', overlay());
  for (const name of ['keda-operator', 'keda-metrics-apiserver'])
    await cluster.kubectl('-n', 'keda', 'rollout', 'status', `deploy/${name}`, '--timeout=240s');
  const api = 'apiservice/v1beta1.external.metrics.k8s.io';
  await cluster.kubectl('wait', '--for=condition=Available', api, '--timeout=120s');
}

/** KEDA's own objects with the images that are here; its webhooks, which only check what is written, are left out. */
function overlay(): string {
  const folder = join(files.folder, 'keda');
  mkdirSync(folder, { recursive: true });
  const parts = ['general', 'crd', 'rbac', 'service_account', 'manager', 'metrics-server'];
  const pod = '/spec/template/spec/containers/0';
  const patch = (name: string, program: Program, more: object[] = []) => ({
    target: { kind: 'Deployment', name },
    patch: JSON.stringify([
      { op: 'replace', path: `${pod}/image`, value: imageOf(program) },
      { op: 'replace', path: `${pod}/imagePullPolicy`, value: 'IfNotPresent' },
      ...more,
    ]),
  });
  const without = { op: 'add', path: `${pod}/args/-`, value: '--enable-webhook-patching=false' };
  const content = {
    ...{ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' },
    resources: parts.map((part) => relative(folder, join(kedaCopy(), 'config', part))),
    patches: [patch('keda-operator', operator, [without]), patch('keda-metrics-apiserver', adapter)],
  };
  writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(content));
  return folder;
}

/** Of gateways, those that end among them, and those that are ready. */
async function replicas(): Promise<{ all: number; ready: number }> {
  const { status } = await cluster.get('deploy', 'aegis-gateway', '-n', namespace);
  return { all: status.replicas ?? 0, ready: status.readyReplicas ?? 0 };
}

/** Seconds until so many are ready, and no others are there. */
async function scaledTo(count: number, withinMs: number): Promise<number> {
  const began = performance.now();
  for (;;) {
    const { all, ready } = await replicas();
    const passed = performance.now() - began;
    if (all === count && ready === count) return passed / 1_000;
    if (passed > withinMs)
      throw new Error(`${all} gateways, ${ready} ready, after ${Math.round(passed / 1_000)} s: not ${count}`);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
}

/** Runs that keep the gateways busy until there are as many as there may be; then one that gives them little to do until there are as few. */
export async function autoscaling(): Promise<Figure> {
  const [busy, calm] = [100, 120];
  const expected = new Map([
    [busy, await undisturbed(busy)],
    [calm, await undisturbed(calm)],
  ]);
  const target = await reach();
  let [runs, right, failures] = [0, 0, 0];
  const train = async (rounds: number, workMs: number): Promise<void> => {
    const crowd = await startCrowd(target, rounds, workMs);
    const run = await finished(target.address, crowd.runId, 1_200_000);
    failures += crowd.failures();
    await crowd.end();
    runs += 1;
    if (run.subStatus === 'completed' && run.modelId === expected.get(rounds)) right += 1;
  };
  await scaledTo(fewest, 60_000);
  let isOver = false;
  const growing = scaledTo(most, 420_000).finally(() => {
    isOver = true;
  });
  growing.catch(() => {}); // it is waited for when the run that goes on is over
  do await train(busy, 0);
  while (!isOver);
  const grown = await growing;
  const shrinking = scaledTo(fewest, 900_000);
  await train(calm, 4_000);
  const shrunk = await shrinking;
  await ready();
  return {
    must: `${fewest} gateway becomes ${most} under load and ${fewest} again after it; every run completes, models bit-identical`,
    measured: `${most} ready ${grown.toFixed(0)} s after the load began, ${fewest} left ${shrunk.toFixed(0)} s after it ended; ${right} of ${runs} runs completed with the model that nothing disturbed, ${failures} answers given up`,
    holds: right === runs,
  };
}
