// The suite with certificates that cert-manager issues and renews (cert-manager/main.go says which part of it runs).
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cluster } from './cluster.ts';
import { type Figure, firstRound, ready } from './figures.ts';
import type { Presented } from './presented.ts';
import { imageOf, loadProgram, moduleFolder, type Program } from './programs.ts';
import { applyText, type InstallOptions, namespace, singleNode } from './suite.ts';

const [module, version] = ['github.com/cert-manager/cert-manager', 'v1.21.2'];
const sources = join(import.meta.dirname, 'cert-manager');

/** Renewed three minutes after they were issued, over and over: nobody has to ask for it. */
export const certManaged: InstallOptions = {
  ...singleNode,
  set: {
    ...{ 'certificates.mode': 'cert-manager', 'gateway.tls.hosts': ['127.0.0.1'] },
    ...{ 'certificates.duration': '1h', 'certificates.renewBefore': '57m' },
  },
};

const program = (): Program => {
  const content = ['main.go', 'go.mod', 'go.sum'].map((file) => readFileSync(join(sources, file)));
  const changed = createHash('sha256').update(Buffer.concat(content)).digest('hex').slice(0, 8);
  return { name: 'cert-manager', version: `${version}-${changed}`, folder: () => sources, main: '.' };
};

/** Custom resources, roles and Deployment are cert-manager's own. */
export async function startCertManager(): Promise<void> {
  const made = program();
  await loadProgram(made);
  const folder = moduleFolder(module, version);
  await cluster.kubectl('apply', '--server-side', '-f', join(folder, 'deploy/crds'));
  await cluster.kubectl('create', 'namespace', 'cert-manager');
  const [repository, tag] = imageOf(made).split(':');
  const set = ['--set', `image.repository=${repository}`, '--set', `image.tag=${tag}`];
  const shown = ['serviceaccount', 'rbac', 'deployment'].flatMap((file) => ['--show-only', `templates/${file}.yaml`]);
  const chart = join(folder, 'deploy/charts/cert-manager');
  const inside = ['--namespace', 'cert-manager'];
  const objects = await cluster.helm('template', 'cert-manager', chart, ...inside, ...set, ...shown);
  await applyText('cert-manager.yaml', objects);
  await cluster.kubectl('-n', 'cert-manager', 'rollout', 'status', 'deploy/cert-manager', '--timeout=120s');
}

const ports: Readonly<Record<string, number>> = {
  ...{ gateway: 8443, aggregator: 7443, secagg: 7445, 'privacy-accountant': 7444 },
};

interface Service {
  readonly name: string;
  /** Of this pod, and of this start of its container. */
  readonly start: string;
  readonly address: string;
}

/** NATS is none of them: it reads its certificate when it starts. */
async function services(): Promise<Service[]> {
  const { items } = await cluster.get('pods', '-n', namespace);
  const found: Service[] = [];
  for (const { metadata, status } of items) {
    const name: string = metadata.labels['app.kubernetes.io/component'];
    const start = `${metadata.uid} ${status.containerStatuses?.[0]?.restartCount}`;
    if (ports[name] !== undefined) found.push({ name, start, address: `${status.podIP}:${ports[name]}` });
  }
  return found;
}

async function presented(of: readonly Service[]): Promise<Presented[]> {
  const script = join(import.meta.dirname, 'presented.ts');
  return JSON.parse(await cluster.exec(process.execPath, script, ...of.map(({ address }) => address)));
}

const authority = async (): Promise<string> =>
  (await cluster.get('secret', 'aegis-authority', '-n', namespace)).data['tls.crt'];

/** Its certificate lasts for years, so it is asked for a new one, as `cmctl renew` would. */
async function renewAuthority(): Promise<void> {
  const before = await authority();
  const { status } = await cluster.get('certificate', 'aegis-authority', '-n', namespace);
  const issuing = { type: 'Issuing', status: 'True', reason: 'Tried', lastTransitionTime: new Date().toISOString() };
  const patch = JSON.stringify({ status: { conditions: [...status.conditions, issuing] } });
  const how = ['--subresource=status', '--type=merge', '-p', patch];
  await cluster.kubectl('patch', 'certificate', 'aegis-authority', '-n', namespace, ...how);
  for (const until = Date.now() + 60_000; (await authority()) === before; ) {
    if (Date.now() > until) throw new Error('the authority was not renewed within a minute');
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** Every certificate is renewed by its own date while the suite runs, the authority's before them; then NATS starts with its new one. */
export async function renewal(): Promise<Figure> {
  const before = await services();
  const first = await presented(before);
  const signed = first.every(({ issuer }) => issuer === `aegis.${namespace}`);
  await renewAuthority();
  /** By service: seconds from the issue of its new certificate until somebody was shown it. */
  const taken = new Map<string, number>();
  for (const until = Date.now() + 480_000; taken.size < before.length && Date.now() < until; ) {
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    for (const [i, { serial, issued }] of (await presented(before)).entries()) {
      const name = before[i]?.name ?? '';
      if (serial !== first[i]?.serial && !taken.has(name)) taken.set(name, (Date.now() - issued) / 1_000);
    }
  }
  const round = await firstRound();
  const same = (await services()).map(({ start }) => start).join() === before.map(({ start }) => start).join();
  await cluster.kubectl('-n', namespace, 'rollout', 'restart', 'statefulset/aegis-nats');
  await ready();
  const after = await firstRound();
  const listed = [...taken].map(([name, seconds]) => `${name} ${seconds.toFixed(0)} s`).join(', ');
  return {
    must: 'authority renewed, running services show renewed certificates, none restarts, rounds run',
    measured: `issued by ${signed ? "the chart's authority" : 'SOMEBODY ELSE'}; renewed ones shown, after their issue, ${listed}, ${same ? 'no restart' : 'A RESTART'}; rounds after it: ${round.measured}; and after a restart of NATS: ${after.measured}`,
    holds: signed && taken.size === before.length && before.length === 4 && same && round.holds && after.holds,
  };
}
