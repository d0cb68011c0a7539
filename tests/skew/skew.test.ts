// A rolling upgrade: services of the release before beside services of this one, as processes of their own, with nodes at work.
// AEGIS_OLD names the folder of the other release (make e2e-skew OLD=REV).
import { describe, expect, it } from 'vitest';
import { Cluster, type ServiceName } from '../suite/cluster.ts';
import { bundle, fleet, undisturbed } from '../suite/crash-app.ts';
import type { WorkingNode } from '../suite/nodes.ts';

const old = process.env.AEGIS_OLD ?? '';
if (old === '') throw new Error('AEGIS_OLD is not set: type make e2e-skew OLD=REV');
const ROUNDS = 3;

describe('services of two releases', () => {
  it.each<[string, ServiceName[]]>([
    ['an old gateway before new services', ['gateway']],
    ['a new gateway before an old aggregator', ['aggregator']],
    ['an old accountant behind new services', ['privacy-accountant']],
    ['a new accountant behind old services', ['gateway', 'aggregator']],
  ])(
    '%s train to the bits of one release',
    async (_what, olds) => {
      const expected = await undisturbed(ROUNDS);
      const roots = Object.fromEntries(olds.map((service) => [service, old]));
      const cluster = await Cluster.start({ accountant: true, roots });
      const nodes: WorkingNode[] = [];
      try {
        nodes.push(...(await fleet([cluster.target()])));
        const run = await cluster.finished(await cluster.startRun(bundle(ROUNDS)));
        expect(run.run?.status?.subStatus, cluster.logs()).toBe('completed');
        expect(run.history.map(({ accepted, dropped }) => [accepted, dropped])).toEqual(Array(ROUNDS).fill([3, 0]));
        expect(run.modelId).toBe(expected);
      } finally {
        await Promise.all(nodes.map((node) => node.kill()));
        await cluster.close();
      }
    },
    180_000,
  );

  it('an aggregator is replaced by one of this release in the middle of a run, and by the old one again', async () => {
    const expected = await undisturbed(ROUNDS);
    const cluster = await Cluster.start({ roots: { aggregator: old } });
    const nodes: WorkingNode[] = [];
    try {
      nodes.push(...(await fleet([cluster.target()])));
      const runId = await cluster.startRun(bundle(ROUNDS));
      const [aggregator] = cluster.aggregators;
      for (const root of [undefined, old]) {
        await aggregator?.kill();
        aggregator?.start(root);
        if (aggregator) await cluster.ready(aggregator);
      }
      const run = await cluster.finished(runId);
      expect(run.run?.status?.subStatus, cluster.logs()).toBe('completed');
      expect(run.modelId).toBe(expected);
    } finally {
      await Promise.all(nodes.map((node) => node.kill()));
      await cluster.close();
    }
  }, 180_000);
});
