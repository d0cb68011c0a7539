// The chart on a real cluster of this machine: node tests/kubernetes/main.ts [FIGURE…] [--replicated | --cert-manager | --keda] [--keep], or `cluster` and `down`.
// What is installed has figures of its own (set-ups.ts), all of them unless some are named; `install` alone measures nothing else. --keep leaves the
// cluster up for the next call, which then goes on with it. `cluster` leaves one up that has images and volumes and no suite, for whoever types what
// deploy/k8s/README.md says; `down` ends it.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { arch, cpus } from 'node:os';
import { join } from 'node:path';
import { cluster } from './cluster.ts';
import { type Figure, ready } from './figures.ts';
import { loadImages } from './images.ts';
import { setUpFor } from './set-ups.ts';
import { files, install, logs, makeVolumes, namespace } from './suite.ts';

const { nodes, before, options, figures } = setUpFor(process.argv);
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const keep = process.argv.includes('--keep');
const own = join(files.folder, 'shell');
const isSomebodys = existsSync(own);
if (wanted[0] === 'cluster') {
  if (cluster.isUp()) {
    console.error('There is a cluster already; end it first: down');
    process.exit(2);
  }
  await cluster.up(nodes);
  await loadImages('0.1.0');
  await before?.();
  await makeVolumes(options.claims);
  writeFileSync(own, cluster.functions());
  console.log(`A cluster with images and volumes. In a shell:\n  . ${own}    # kubectl, helm, forward, inside`);
  process.exit(0);
}
if (wanted[0] === 'down') {
  await cluster.down();
  rmSync(own, { force: true });
  process.exit(0);
}
if (cluster.isUp() && isSomebodys) {
  console.error('The cluster that runs is one for somebody who types (`cluster`); end it first: down');
  process.exit(2);
}
const unknown = wanted.filter((name) => name !== 'install' && figures[name] === undefined);
if (unknown.length > 0) {
  console.error(`no such figure: ${unknown.join(', ')} (there are install, ${Object.keys(figures).join(', ')})`);
  process.exit(2);
}

const show = (name: string, { must, measured, holds }: Figure): boolean => {
  console.log(`| ${name} | ${must} | ${measured} | ${holds ? 'holds' : 'DOES NOT HOLD'} |`);
  return holds;
};

let held = true;
try {
  if (!cluster.isUp()) {
    await cluster.up(nodes);
    await loadImages('0.1.0');
    await before?.();
    const took = await install(options);
    const test = await cluster.helm('test', 'aegis', '--namespace', namespace);
    const passed = /Phase:\s+Succeeded/.test(test);
    const measured = `${took.toFixed(1)} s, helm test ${passed ? 'succeeded' : 'FAILED'}`;
    held = show('install', { must: '< 60 s', measured, holds: took < 60 && passed }) && held;
  }
  await ready();
  for (const [name, measure] of Object.entries(figures)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    held = show(name, await measure()) && held;
  }
} catch (error) {
  held = false;
  console.error(error);
  console.error(await logs().catch(String));
} finally {
  if (!keep) await cluster.down();
}
const date = new Date().toISOString().slice(0, 10);
console.log(
  `${date}, ${cpus().length} cores (${arch()}), Kubernetes 1.34.4, Helm 4.1.4, Node ${process.version}, flwr 1.41.0 and 1.39.0`,
);
process.exit(held ? 0 : 1);
