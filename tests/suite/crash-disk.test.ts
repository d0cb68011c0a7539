// Disks that are full, torn or rotten, under a run that goes on, or says why it cannot.
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFile, mkdir, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, temporaryFolder } from '@aegis/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { SimulatedNode } from '../../services/gateway/src/testing/simulated-node.ts';
import { Refused } from '../../services/gateway/src/testing/wire-client.ts';
import { Cluster, type Service } from './cluster.ts';
import { apps, bundle, fleet, undisturbed } from './crash-app.ts';
import { type App, WorkingNode } from './nodes.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const aggregatorOf = (cluster: Cluster): Service => cluster.aggregators[0] as Service;
const started = async (options: Parameters<typeof Cluster.start>[0] = {}): Promise<Cluster> => {
  const cluster = await Cluster.start(options);
  ends.push(() => cluster.close());
  return cluster;
};

interface SmallDisk {
  readonly folder: string;
  fill(process: Service): Promise<void>;
  free(process: Service): Promise<void>;
}

/** A small file system where mounting is allowed; elsewhere a limit on the size of the process's files, which writes meet alike. */
const smallDisk = async (): Promise<SmallDisk> => {
  const temporary = await temporaryFolder('disk');
  ends.push(() => temporary.remove());
  const folder = join(temporary.path, 'small');
  await mkdir(folder);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder]).status === 0) {
    ends.push(async () => execFileSync('umount', ['-l', folder]));
    const ballast = join(folder, 'ballast');
    return {
      folder,
      fill: () => writeFile(ballast, Buffer.alloc(16 * 2 ** 20)).catch(() => {}),
      free: () => rm(ballast),
    };
  }
  const limit = (process: Service, bytes: string) =>
    void execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`]);
  return {
    folder,
    fill: async (process) => limit(process, '64'),
    free: async (process) => limit(process, 'unlimited'),
  };
};

describe('a full disk', () => {
  it('is told to nodes and people, waited for, and loses nothing', async () => {
    const expected = await undisturbed(1);
    const disk = await smallDisk();
    const cluster = await started({ stateOf: () => disk.folder });
    for (const app of apps.slice(1)) {
      const node = new WorkingNode(cluster.target(), 'A', app);
      ends.push(() => node.kill());
      await node.start();
    }
    const node = new SimulatedNode(cluster.target());
    ends.push(async () => node.close());
    await node.start();
    const runId = await cluster.startRun(bundle(1));
    const offer = await node.work();
    const received = await node.fetch(offer);
    await disk.fill(aggregatorOf(cluster));

    const content = await apps[0]?.(offer, received, node);
    const reply = node.reply(offer, content ?? { metrics: [] });
    const told = (await node.push(reply).catch((error: unknown) => error)) as Refused;
    expect(told).toBeInstanceOf(Refused);
    expect([told.status, told.body]).toEqual([503, expect.stringContaining('disk')]);
    await eventually(() => aggregatorOf(cluster).log().includes('the disk is full; the run waits'));
    await eventually(async () => (await cluster.logOf(runId)).includes('DISK_FULL: '));
    expect((await cluster.run(runId)).run?.status?.status).toBe('running');

    await disk.free(aggregatorOf(cluster));
    expect(await eventually(() => node.push(reply).catch(() => false))).toBe(true);
    const run = await cluster.finished(runId);
    expect(run.history.map(({ accepted, dropped }) => [accepted, dropped])).toEqual([[3, 0]]);
    expect(run.modelId).toBe(expected);
  });
});

describe('a log', () => {
  /** A round with two answers acknowledged and one to come; then the aggregator is dead. */
  const killedInTheMiddle = async () => {
    const cluster = await started();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    let isHeld = false;
    const hold: (app: App, index: number) => App = (app, i) => async (offer, received, node) => {
      if (i === 2) {
        isHeld = true;
        await released;
      }
      return app(offer, received, node);
    };
    const nodes = await fleet([cluster.target()], hold);
    for (const node of nodes) ends.push(() => node.kill());
    ends.push(async () => release());
    const runId = await cluster.startRun(bundle(1));
    await eventually(() => isHeld && nodes.slice(0, 2).every(({ outcomes }) => outcomes.length > 0));
    await aggregatorOf(cluster).kill();
    const folder = join(cluster.folder, 'state/intake', String(runId));
    const names = await readdir(folder, { recursive: true });
    const segment = join(folder, names.find((name) => name.endsWith('.log')) as string);
    return { cluster, runId, segment, release };
  };

  it('that is torn at its end goes on without the torn bytes, and without losing an answer', async () => {
    const expected = await undisturbed(1);
    const { cluster, runId, segment, release } = await killedInTheMiddle();
    await appendFile(segment, Buffer.concat([Buffer.from('REC1'), Buffer.alloc(5_000, 7)]));
    const torn = (await stat(segment)).size;
    aggregatorOf(cluster).start();
    await cluster.ready(aggregatorOf(cluster));
    await eventually(async () => (await cluster.logOf(runId)).includes('with 2 of 3 answers'));
    release();
    const run = await cluster.finished(runId);
    expect(run.history.map(({ accepted, dropped }) => [accepted, dropped])).toEqual([[3, 0]]);
    expect(run.modelId).toBe(expected);
    expect(torn).toBeGreaterThan(5_000);
  });

  it('that rots where answers were acknowledged ends the run, and says which file and where', async () => {
    const { cluster, runId, segment } = await killedInTheMiddle();
    const file = await open(segment, 'r+');
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, 40_000);
    await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, 40_000);
    await file.close();
    aggregatorOf(cluster).start();
    const run = await cluster.finished(runId);
    expect(run.run?.status).toMatchObject({ subStatus: 'failed', details: expect.stringContaining('damaged') });
    expect(aggregatorOf(cluster).log()).toMatch(/INTAKE_CORRUPT/);
    expect(aggregatorOf(cluster).log()).toMatch(/segment-00000000\.log/);
  });
});
