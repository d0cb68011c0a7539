// The chart, installed on the local cluster.
import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cluster, root } from './cluster.ts';

export const namespace = 'aegis';
const folder = join(root, '.cache/k8s-suite');
export const files = {
  folder,
  secrets: join(folder, 'secrets'),
  ca: join(folder, 'secrets/ca.pem'),
  token: join(folder, 'secrets/operator.token'),
};
const chart = join(root, 'deploy/k8s/helm/aegis');
const user = 10001;

/** Where a claim's volume is on this machine. */
export const volumeOf = (claim: string): string => join(folder, 'volumes', claim);

/** As the cluster has no storage class: one folder of this machine per claim, which every node sees, as a network disk would be. */
export async function makeVolumes(claims: readonly string[]): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const objects = claims.map((claim) => {
    const path = volumeOf(claim);
    mkdirSync(path, { recursive: true });
    chownSync(path, user, user);
    return {
      ...{ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: claim } },
      spec: {
        ...{ capacity: { storage: '100Gi' }, accessModes: ['ReadWriteOnce', 'ReadWriteMany'], hostPath: { path } },
        ...{ claimRef: { namespace, name: claim }, persistentVolumeReclaimPolicy: 'Retain' },
      },
    };
  });
  await apply('volumes.json', { apiVersion: 'v1', kind: 'List', items: objects });
}

export async function applyText(name: string, content: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, name);
  writeFileSync(file, content);
  await cluster.kubectl('apply', '--server-side', '-f', file);
}

export const apply = (name: string, content: unknown): Promise<void> => applyText(name, JSON.stringify(content));

export interface InstallOptions {
  /** One of deploy/k8s/values; the chart's own alone when there is none. */
  readonly values?: string;
  /** Over those. */
  readonly set?: Readonly<Record<string, unknown>>;
  /** Claims that there are volumes for. */
  readonly claims: readonly string[];
}

export const singleNode: InstallOptions = {
  values: 'single-node',
  claims: ['nats', 'aggregator', 'privacy-accountant', 'issuer'].map((part) => `state-aegis-${part}-0`),
};

/** Nothing is there once: three NATS servers on three nodes, two of everything else, each pair with one volume where it needs one. */
export const replicated: InstallOptions = {
  set: {
    ...{ 'gateway.enrolment': 'open', 'gateway.control': 'open' },
    ...{ 'aggregator.replicas': 2, 'aggregator.volume.accessMode': 'ReadWriteMany' },
    ...{ 'privacyAccountant.replicas': 2, 'privacyAccountant.volume.accessMode': 'ReadWriteMany' },
  },
  claims: [...[0, 1, 2].map((server) => `state-aegis-nats-${server}`), 'aegis-aggregator', 'aegis-privacy-accountant'],
};

const valueArgs = ({ values, set = {} }: InstallOptions): string[] => [
  ...(values === undefined ? [] : ['--values', join(root, `deploy/k8s/values/${values}.yaml`)]),
  ...Object.entries(set).flatMap(([path, value]) => ['--set-json', `${path}=${JSON.stringify(value)}`]),
];

/** What the README tells a newcomer to do, up to a suite that is ready. Resolves with the seconds that `helm install --wait` took. */
export async function install(options: InstallOptions): Promise<number> {
  await makeVolumes(options.claims);
  await cluster.kubectl('create', 'namespace', namespace);
  await cluster.kubectl('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted');
  const made = ['kubernetes', 'secrets', '--dir', files.secrets, '--json'];
  const certManaged = options.set?.['certificates.mode'] === 'cert-manager';
  if (certManaged) made.push('--keys-only');
  execFileSync(join(root, 'node_modules/.bin/aegis'), made, { stdio: ['ignore', 'pipe', 'inherit'] });
  await cluster.kubectl('apply', '--server-side', '-f', join(files.secrets, 'secrets.json'));
  const began = performance.now();
  const wait = ['--wait', '--timeout', '180s'];
  await cluster.helm('install', 'aegis', chart, '--namespace', namespace, ...valueArgs(options), ...wait);
  const took = (performance.now() - began) / 1_000;
  if (certManaged) {
    const edge = await cluster.get('secret', 'aegis-edge-tls', '-n', namespace);
    writeFileSync(files.ca, Buffer.from(edge.data['ca.crt'], 'base64'));
  }
  return took;
}

export const upgrade = (options: InstallOptions): Promise<string> =>
  cluster.helm(
    ...['upgrade', 'aegis', chart, '--namespace', namespace, ...valueArgs(options), '--wait', '--timeout', '300s'],
  );

export const rollback = (): Promise<string> =>
  cluster.helm('rollback', 'aegis', '--namespace', namespace, '--wait', '--timeout', '300s');

export const uninstall = async (): Promise<void> => {
  await cluster.helm('uninstall', 'aegis', '--namespace', namespace, '--wait');
  await cluster.kubectl('delete', 'namespace', namespace, '--wait');
  await cluster.kubectl('delete', 'persistentvolume', '--all');
};

/** Logs of everything, newest last, for whoever has to find out why. */
export async function logs(): Promise<string> {
  const pods = await cluster.get('pods', '-n', namespace).catch(() => ({ items: [] }));
  const texts: string[] = [];
  for (const { metadata } of pods.items) {
    const { name } = metadata;
    const text = await cluster.kubectl('logs', '-n', namespace, name, '--tail=30').catch(String);
    texts.push(`== ${name}\n${text}`);
  }
  return texts.join('\n');
}

export const tokenOf = (): string => readFileSync(files.token, 'utf8').trim();
