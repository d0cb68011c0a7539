// Nobody registers himself and every node shows a certificate: a federation's own authority, the issuer in the cluster, guards with invitations.
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { flowerEnvironment } from '../../cli/src/demo/supernode.ts';
import { ProcessGroup } from '../../cli/src/processes/process-group.ts';
import { freePort } from '../suite/cluster.ts';
import { cluster, root } from './cluster.ts';
import { aegis, aegisHere, binOf, finished, reach, startStockRun } from './federation.ts';
import { type Figure, ready } from './figures.ts';
import { files, type InstallOptions, namespace, singleNode, upgrade } from './suite.ts';

const certified: InstallOptions = {
  ...singleNode,
  set: {
    ...{ 'federation.secret': 'aegis-federation', 'gateway.enrolment': 'registered' },
    ...{ 'gateway.clientCertificates': 'require' },
    ...{ 'issuer.enabled': true, 'issuer.authority.secret': 'aegis-issuer-authority' },
  },
};
const RELEASES = ['1.41.0', '1.39.0'];

/** `aegis ca`, on the machine that stays offline, and the two secrets that go to the cluster. */
async function makeAuthority(): Promise<string> {
  const dir = join(files.folder, 'ca');
  await aegisHere('ca', 'init', '--federation', 'hospitals', '--dir', dir);
  await aegisHere('ca', 'issuer', 'edge', '--dir', dir, '--out', dir);
  const secrets = {
    'aegis-federation': { 'root.pem': 'root.pem', 'crl.pem': 'crl.pem' },
    'aegis-issuer-authority': { 'issuer.pem': 'edge.issuer.pem', 'issuer.key': 'edge.issuer.key' },
  };
  for (const [name, content] of Object.entries(secrets)) {
    const from = Object.entries(content).map(([key, file]) => `--from-file=${key}=${join(dir, file)}`);
    await cluster.kubectl('-n', namespace, 'create', 'secret', 'generic', name, ...from);
  }
  return join(dir, 'root.pem');
}

interface Guard {
  readonly name: string;
  readonly group: ProcessGroup;
  said(): string;
}

/** As a data owner types it, with a stock SuperNode of the release behind it. */
async function startGuard(address: string, federationRoot: string, release: string, partition: number): Promise<Guard> {
  const name = `hospital-${partition}`;
  const invited = (await aegis(address, 'nodes', 'invite', '--name', name)) as { token: string };
  const folder = join(files.folder, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'policy.yaml'), 'apps: [aegis/*]\n');
  const command = [
    ...['flower-supernode', '--node-config', `partition-id=${partition} num-partitions=${RELEASES.length}`],
    ...['--host', '127.0.0.1', '--port', String(await freePort())],
  ];
  const args = [
    ...['guard', '--server', address, '--ca', files.ca, '--federation-root', federationRoot, '--invite', invited.token],
    ...['--policy', join(folder, 'policy.yaml'), '--state', join(folder, 'state'), '--', ...command],
  ];
  const output = openSync(join(folder, 'log'), 'w');
  const env = flowerEnvironment(process.env, binOf(release), join(folder, 'flwr'));
  const group = new ProcessGroup(join(root, 'node_modules/.bin/aegis'), args, { env, cwd: folder, output });
  closeSync(output);
  return { name, group, said: () => readFileSync(join(folder, 'log'), 'utf8') };
}

/** Two guards come by invitation and their nodes train; one is removed, and is out at once although its certificate is good for days. */
export async function issuer(): Promise<Figure> {
  const federationRoot = await makeAuthority();
  await upgrade(certified);
  await ready();
  const { address } = await reach();
  const guards: Guard[] = [];
  try {
    for (const [partition, release] of RELEASES.entries())
      guards.push(await startGuard(address, federationRoot, release, partition));
    const run = await finished(address, await startStockRun(address, 2), 240_000);
    const nodes = (await aegis(address, 'nodes', 'ls')) as { nodeId: string; name: string; certificate: string }[];
    const named = guards.map(({ name }) => nodes.find((node) => node.name === name));
    const removed = guards[0] as Guard;
    const before = removed.said().length;
    const began = performance.now();
    await aegis(address, 'nodes', 'remove', String(named[0]?.nodeId));
    while (!/removed|revoked/i.test(removed.said().slice(before)) && performance.now() - began < 30_000)
      await new Promise((resolve) => setTimeout(resolve, 50));
    const heard = (performance.now() - began) / 1_000;
    const shown = named.map((node) => node?.certificate ?? 'none');
    return {
      must: 'guards enrol by invitation, their stock nodes train, a removed one is out',
      measured: `${run.subStatus}, certificates ${shown.join(' and ')}; the removed guard says so after ${heard.toFixed(1)} s`,
      holds: run.subStatus === 'completed' && shown.every((one) => one.includes('CN=hospital')) && heard < 10,
    };
  } catch (error) {
    throw new Error(`${error}\n${guards.map(({ name, said }) => `== ${name}\n${said().slice(-2_000)}`).join('\n')}`);
  } finally {
    for (const { group } of guards) await group.end(20_000);
    await upgrade(singleNode);
    await ready();
  }
}
