// kill -9 at random moments: the run goes on by itself, in the same round, to the same bits.
import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, type Service } from './cluster.ts';
import { bundle, fleet, undisturbed } from './crash-app.ts';
import type { WorkingNode } from './nodes.ts';

let cluster: Cluster;
let nodes: WorkingNode[];
let expected: string;
beforeAll(async () => {
  expected = await undisturbed(ROUNDS);
  cluster = await Cluster.start();
  nodes = await fleet([cluster.target()]);
});
afterAll(async () => {
  await Promise.all(nodes.map((node) => node.kill()));
  await cluster.close();
});

const ROUNDS = 6;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('kill -9', () => {
  it.each(['gateway', 'aggregator', 'nats', 'any'] as const)(
    'of %s, again and again, loses no answer and changes no bit',
    async (which) => {
      const [gateway, aggregator] = [cluster.gateways[0] as Service, cluster.aggregators[0] as Service];
      // what was killed last of the run before may still be starting
      await Promise.all([cluster.up(gateway), cluster.ready(aggregator)]);
      const runId = await cluster.startRun(bundle(ROUNDS));

      const kills = {
        gateway: async () => {
          await gateway.kill();
          gateway.start();
        },
        aggregator: async () => {
          await aggregator.kill();
          aggregator.start();
        },
        nats: async () => {
          await cluster.nats.kill();
          await cluster.nats.restart();
        },
      };
      const victims = which === 'any' ? (['gateway', 'aggregator', 'nats'] as const) : [which];
      const finished = cluster.finished(runId);
      let over = false;
      void finished.finally(() => {
        over = true;
      });
      for (let kill = 0; kill < 3 && !over; kill += 1) {
        await pause(randomInt(20, 400));
        await kills[victims[kill % victims.length] ?? 'nats']();
        // long enough to do something, short enough to be in the middle of it
        await pause(randomInt(600, 1_500));
      }
      const run = await finished;
      expect(run.run?.status?.subStatus, cluster.logs()).toBe('completed');
      expect(run.history.map(({ accepted, dropped }) => [accepted, dropped])).toEqual(Array(ROUNDS).fill([3, 0]));
      expect(run.modelId).toBe(expected);
    },
  );
});
