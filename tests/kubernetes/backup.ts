// All of NATS is lost in the middle of a run: what docs/operations.md tells an operator to type, on this cluster.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { undisturbed } from '../suite/crash-app.ts';
import { cluster } from './cluster.ts';
import { aegisHere, finished, reach, startCrowd } from './federation.ts';
import { type Figure, ready } from './figures.ts';
import { files, type InstallOptions, namespace, upgrade, volumeOf } from './suite.ts';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = (since: number): string => `${((performance.now() - since) / 1_000).toFixed(1)} s`;

/** `aegis kubernetes secrets` wrote the file for a port that somebody forwards; here it is one that is free. */
async function wayToNats(): Promise<string> {
  const port = await cluster.forward(`${namespace}/aegis-nats:4222`);
  // beside the certificates that it names
  const file = join(files.secrets, `backup-${port}.json`);
  const written = readFileSync(join(files.secrets, 'backup.json'), 'utf8');
  writeFileSync(file, written.replaceAll(':4222', `:${port}`));
  return file;
}

const scaleNats = async (servers: number): Promise<void> => {
  const nats = 'statefulset/aegis-nats';
  await cluster.kubectl('-n', namespace, 'scale', nats, `--replicas=${servers}`);
  if (servers > 0) await cluster.kubectl('-n', namespace, 'rollout', 'status', nats, '--timeout=180s');
  else await cluster.kubectl('-n', namespace, 'wait', '--for=delete', 'pod', '-l', 'app.kubernetes.io/component=nats');
};

/** Whatever still writes while it ends. */
const onlyNatsRuns = (): Promise<string> =>
  cluster.kubectl(
    ...[
      '-n',
      namespace,
      'wait',
      '--for=delete',
      'pod',
      '-l',
      'app.kubernetes.io/component notin (nats)',
      '--timeout=120s',
    ],
  );

/** A backup under load, everything in NATS gone some rounds later, the way back, and the run goes on from where the backup has it. */
export async function backup(installed: InstallOptions): Promise<Figure> {
  const [rounds, workMs] = [40, 300];
  const servers = installed.claims.filter((claim) => claim.includes('nats'));
  const expected = await undisturbed(rounds);
  const target = await reach();
  const crowd = await startCrowd(target, rounds, workMs);
  await pause(6_000);
  const [folder, key] = [join(files.folder, `backup-${crowd.runId}`), join(files.folder, 'backup.key')];
  let began = performance.now();
  const taken = await aegisHere('backup', '--nats', await wayToNats(), '--key', key, '-o', folder);
  const took = seconds(began);
  const { streams, bytes, openRuns, still } = taken as Record<string, unknown> & { openRuns: string[] };
  await pause(5_000);

  began = performance.now();
  await upgrade({ ...installed, set: { ...installed.set, paused: true } });
  await onlyNatsRuns();
  await scaleNats(0);
  for (const claim of servers)
    for (const name of readdirSync(volumeOf(claim))) rmSync(join(volumeOf(claim), name), { recursive: true });
  await scaleNats(servers.length);
  await aegisHere('restore', folder, '--nats', await wayToNats(), '--key', key);
  await upgrade(installed);
  await ready();
  const back = seconds(began);
  const run = await finished(target.address, crowd.runId, 400_000);
  const longest = crowd.longestPause();
  await crowd.end();
  const whole = run.history.every(({ accepted, dropped }) => accepted === 3 && dropped === 0);
  return {
    must: 'the run goes on from the backup, model bit-identical',
    measured: `${run.subStatus}, model ${run.modelId === expected ? 'bit-identical' : 'DIFFERENT'}; ${streams} streams, ${bytes} bytes copied in ${took} under load (runs stood still: ${still}); ${servers.length} servers of NATS emptied, restored and all services ready in ${back}, ${longest.toFixed(1)} s without progress`,
    holds: run.subStatus === 'completed' && run.modelId === expected && whole && openRuns.includes(String(crowd.runId)),
  };
}
