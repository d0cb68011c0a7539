// The figures that deploy/k8s/README.md shows. Each leaves the suite as it found it: ready, on whatever node, and without its own nodes, which leave
// in order: a run asks a node that vanished until it has been silent for a minute, and after a restart of all services for two.
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { undisturbed } from '../suite/crash-app.ts';
import { cluster } from './cluster.ts';
import { aegis, finalArrays, finished, reach, startCrowd, startStockNodes, startStockRun } from './federation.ts';
import { namespace, rollback, singleNode, upgrade } from './suite.ts';

export interface Figure {
  readonly must: string;
  readonly measured: string;
  readonly holds: boolean;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = (value: number): string => `${value.toFixed(1)} s`;

export const ready = async (): Promise<void> => {
  for (const workload of ['deploy/aegis-gateway', 'deploy/aegis-secagg'])
    await cluster.kubectl('-n', namespace, 'rollout', 'status', workload, '--timeout=180s');
  for (const name of ['aggregator', 'privacy-accountant', 'nats'])
    await cluster.kubectl('-n', namespace, 'rollout', 'status', `statefulset/aegis-${name}`, '--timeout=180s');
};

/** Resident memory of every process of the suite, mapped files included, as the kernel counts it. */
export function footprint(): Promise<Figure> {
  const parts: [string, number][] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const [program, part] = suiteProcess(pid);
    if (part !== undefined) parts.push([program, part]);
  }
  const total = parts.reduce((sum, [, mb]) => sum + mb, 0);
  const listed = parts.map(([name, mb]) => `${name} ${mb.toFixed(0)}`).join(', ');
  const measured = `${total.toFixed(0)} MB in ${parts.length} processes (${listed})`;
  return Promise.resolve({ must: '≤ 600 MB', measured, holds: parts.length === 5 && total <= 600 });
}

/** Its host name, which is its pod's, and MB; nothing for a process that is none of the suite's. */
function suiteProcess(pid: string): [string, number | undefined] {
  try {
    if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/etc/aegis/config/')) return ['', undefined];
    const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    const pod = /HOSTNAME=aegis-([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, 'utf8'))?.[1];
    return [pod ?? 'nats', kilobytes / 1_000];
  } catch {
    return ['', undefined]; // it ended meanwhile
  }
}

/** Two stock SuperNodes, one of each wire, train two rounds; the values are those that Flower itself computes. */
export async function firstRound(): Promise<Figure> {
  const { address } = await reach();
  const began = performance.now();
  const nodes = await startStockNodes(address, ['1.41.0', '1.39.0']);
  try {
    const run = await finished(address, await startStockRun(address, 2), 240_000);
    const { w = [], b = [] } = await finalArrays(address, BigInt((run as unknown as { runId: string }).runId));
    const expected = [0.77815413, -1.6491642, 0.46796715, 0.18382451];
    const same = [...w, ...b].every((value, i) => Math.abs(value - (expected[i] ?? Number.NaN)) < 1e-6);
    return {
      must: 'works with 1.41 and 1.39 nodes',
      measured: `${run.subStatus} in ${seconds((performance.now() - began) / 1000)} from the start of the nodes, values ${same ? 'as Flower computes them' : 'WRONG'}`,
      holds: run.subStatus === 'completed' && same,
    };
  } finally {
    for (const { group } of nodes) await group.end(20_000);
  }
}

/** Everything on node1; node2 joins, and node1 is drained in the middle of a run. */
export async function drain(): Promise<Figure> {
  const [rounds, workMs] = [60, 300];
  await cluster.kubectl('cordon', 'node2');
  await cluster.kubectl('-n', namespace, 'delete', 'pods', '--all', '--wait');
  await ready();
  const where = await cluster.get('pods', '-n', namespace);
  const spread = where.items.filter((pod: { spec: { nodeName: string } }) => pod.spec.nodeName !== 'node1').length;
  const expected = await undisturbed(rounds);
  const target = await reach();
  const crowd = await startCrowd(target, rounds, workMs);
  await pause(8_000);
  await cluster.kubectl('uncordon', 'node2');
  const began = performance.now();
  await cluster.kubectl('drain', 'node1', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=180s');
  const drained = (performance.now() - began) / 1_000;
  const run = await finished(target.address, crowd.runId, 300_000);
  const [longest, failures] = [crowd.longestPause(), crowd.failures()];
  await crowd.end();
  await cluster.kubectl('uncordon', 'node1');
  await ready();
  const lost = run.modelId === expected ? 'no acknowledged update lost (model bit-identical)' : 'MODEL DIFFERS';
  const whole = run.history.every(({ accepted, dropped }) => accepted === 3 && dropped === 0);
  return {
    must: '0 acknowledged updates lost, run completes, ≤ 15 s without progress',
    measured: `${run.subStatus}, ${lost}, ${seconds(longest)} without progress; the drain took ${seconds(drained)}, ${failures} answers given up, ${spread} pods were elsewhere`,
    holds: run.subStatus === 'completed' && run.modelId === expected && whole && longest <= 15 && spread === 0,
  };
}

/** Every pod is replaced twice while stock nodes of both wires train. */
export async function upgradeAndRollback(): Promise<Figure> {
  const { address } = await reach();
  const nodes = await startStockNodes(address, ['1.41.0', '1.39.0']);
  const rolled = (value: string) =>
    Object.fromEntries(
      ['gateway', 'aggregator', 'secagg', 'privacyAccountant', 'nats'].map((part) => [
        `${part}.podAnnotations.restarted`,
        value,
      ]),
    );
  try {
    const runId = await startStockRun(address, 14);
    await pause(20_000);
    let began = performance.now();
    await upgrade({ ...singleNode, set: rolled('upgrade') });
    const up = (performance.now() - began) / 1_000;
    await pause(5_000);
    began = performance.now();
    await rollback();
    const back = (performance.now() - began) / 1_000;
    const during = (await aegis(address, 'runs', 'show', String(runId))) as { status: string };
    const run = await finished(address, runId, 400_000);
    const dropped = run.history.reduce((sum, round) => sum + round.dropped, 0);
    const after = await finished(address, await startStockRun(address, 1), 240_000);
    const alive = nodes.filter(({ group }) => group.running).length;
    return {
      must: '0 failed client calls beyond retries a stock SuperNode makes',
      measured: `${run.subStatus}, ${dropped} answers lost over ${run.history.length} rounds, ${alive} of 2 SuperNodes (1.41, 1.39) alive, the next run ${after.subStatus}; upgrade ${seconds(up)}, rollback ${seconds(back)}, the run then ${during.status}`,
      holds: run.subStatus === 'completed' && dropped === 0 && alive === 2 && after.subStatus === 'completed',
    };
  } finally {
    for (const { group } of nodes) await group.end(20_000);
  }
}

/** A pod of the suite, chosen by chance, ends without time to drain, every ten seconds. */
export async function chaos(lastsMs = 300_000): Promise<Figure> {
  const [rounds, workMs] = [130, 900];
  const expected = await undisturbed(rounds);
  const target = await reach();
  const crowd = await startCrowd(target, rounds, workMs);
  const kills = new Map<string, number>();
  for (const until = performance.now() + lastsMs; performance.now() < until; ) {
    const next = pause(10_000);
    const { items } = await cluster.get('pods', '-n', namespace);
    const victim = items[randomInt(items.length)]?.metadata;
    if (victim !== undefined) {
      const part = victim.labels['app.kubernetes.io/component'];
      await cluster.kubectl('-n', namespace, 'delete', 'pod', victim.name, '--grace-period=1', '--wait=false');
      kills.set(part, (kills.get(part) ?? 0) + 1);
    }
    await next;
  }
  const before = (await aegis(target.address, 'runs', 'show', String(crowd.runId)).catch(() => ({
    status: 'unknown',
  }))) as {
    status: string;
  };
  const run = await finished(target.address, crowd.runId, 900_000);
  const [longest, failures] = [crowd.longestPause(), crowd.failures()];
  await crowd.end();
  await ready();
  const listed = [...kills].map(([part, count]) => `${part} ${count}`).join(', ');
  const lacking = run.history.filter(({ accepted, dropped }) => accepted !== 3 || dropped !== 0).length;
  return {
    must: 'run completes, model bit-identical to the undisturbed one',
    measured: `${run.subStatus} after ${rounds} rounds, model ${run.modelId === expected ? 'bit-identical' : 'DIFFERENT'} (${lacking} rounds without an answer of one of the three); kills: ${listed}; longest time without progress ${seconds(longest)}, ${failures} answers given up; when the kills ended the run was ${before.status}`,
    holds: run.subStatus === 'completed' && run.modelId === expected,
  };
}
