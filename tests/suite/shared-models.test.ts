// Aggregators with a volume each, models in S3 and keys of KMS: what one has, all have.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, withAws } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { Cluster, type Service } from './cluster.ts';
import { bundle, fleet, undisturbed } from './crash-app.ts';
import type { WorkingNode } from './nodes.ts';
import { readNpz } from './npz.ts';

const ROUNDS = 3;
const aws = withAws();
const stateOf = (index: number, folder: string) => join(folder, `state-${index}`);
const outside = async () => {
  const { endpoint } = aws();
  return {
    s3: { bucket: await aws().bucket(), endpoint, 'path-style': true, 'timeout-seconds': 2 },
    keys: { kms: { 'key-id': await aws().key(), endpoint, 'timeout-seconds': 2 } },
  };
};

describe('aggregators that share models in S3', () => {
  it('go on by themselves with the run of one whose volume is lost, from its checkpoint, to the same bits', async () => {
    const expected = await undisturbed(ROUNDS);
    const aggregator = { ...(await outside()), 'abandon-volume-after': 3 };
    const cluster = await Cluster.start({ aggregators: 2, stateOf, aggregator });
    const nodes: WorkingNode[] = [];
    try {
      // the third node's app waits in the second round: a checkpoint and half a round are there
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      let held = false;
      nodes.push(
        ...(await fleet([cluster.target()], (app, i) => async (offer, received, node) => {
          if (i === 2 && nodes.length === 3 && nodes[2]?.outcomes.length === 1) {
            held = true;
            await released;
          }
          return app(offer, received, node);
        })),
      );
      const runId = await cluster.startRun(bundle(ROUNDS));
      await eventually(() => held);
      const bucket = await (await cluster.nats.connect()).bucket('leases');
      const address = JSON.parse(String((await bucket.get(String(runId)))?.value)).value.address;
      const lost = cluster.aggregators.find(({ port }) => address.endsWith(`:${port}`)) as Service;
      const here = cluster.aggregators.find((one) => one !== lost) as Service;
      await lost.kill();
      await rm(stateOf(cluster.aggregators.indexOf(lost), cluster.folder), { recursive: true });
      await eventually(() => here.log().includes('a run was taken from a volume that is lost'));
      release();
      const run = await cluster.finished(runId);
      expect(run.run?.status?.subStatus, cluster.logs()).toBe('completed');
      expect(run.history.map(({ accepted }) => accepted)).toEqual(Array(ROUNDS).fill(3));
      expect(run.modelId).toBe(expected);
    } finally {
      await Promise.all(nodes.map((node) => node.kill()));
      await cluster.close();
    }
  }, 120_000);

  it('wait for KMS and S3 instead of ending, say so, and are not ready meanwhile', async () => {
    const cluster = await Cluster.start({ aggregators: 2, stateOf, metrics: true, aggregator: await outside() });
    try {
      const [first, second] = cluster.aggregators as [Service, Service];
      const content = writeNpz([{ name: 'w', npy: writeNpy(f4([3], [1, 2, 3])) }]);
      const { modelId } = await cluster.runs(first).importModel({ name: 'mine', format: 'npz', content });
      await second.kill();
      aws().shut();
      second.start();
      await eventually(() => second.log().includes('not ready: waiting for somebody outside'), 50_000);
      await eventually(async () => (await cluster.probe(second)) === 'starting', 50_000);
      aws().open();
      await eventually(async () => (await cluster.probe(second)) === 'ready', 50_000);
      const pieces: Buffer[] = [];
      const asked = { modelId, runId: 0n, round: 0, format: 'npz' };
      for await (const { content: piece } of cluster.runs(second).exportModel(asked)) pieces.push(piece);
      expect(readNpz(Buffer.concat(pieces))).toEqual({ w: [1, 2, 3] });
    } finally {
      aws().open();
      await cluster.close();
    }
  }, 120_000);
});
