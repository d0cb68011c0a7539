import { eventually } from '@aegis/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { npyOf } from '../../services/gateway/src/testing/npy.ts';
import { type App, adds, examples, WorkingNode } from './nodes.ts';
import { Suite, type SuiteOptions } from './suite.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const up = async (options: SuiteOptions = {}): Promise<Suite> => {
  const suite = await Suite.start(options);
  ends.push(() => suite.close());
  return suite;
};
const join = async (suite: Suite, dialect: 'A' | 'B' | 'C', app: App): Promise<WorkingNode> => {
  const node = new WorkingNode(suite.target, dialect, app);
  await node.start();
  ends.push(() => node.kill());
  return node;
};

const initial = writeNpz([
  { name: 'w', npy: writeNpy(f4([3], [0, 10, 20])) },
  { name: 'b', npy: writeNpy(f4([1], [1])) },
]);
const bundle = (config: string) =>
  fab({ config: `aegis.initial-model = "file:init.npz"\n${config}`, extra: [{ name: 'init.npz', content: initial }] });

describe.each(['in-process', 'grpc'] as const)('a FedAvg run, gateway and aggregator %s', (transport) => {
  it('trains over every dialect and TLS, weighted by examples, to the exact mean', async () => {
    const suite = await up({ transport });
    const nodes = await Promise.all([
      join(suite, 'A', adds(1, 10)),
      join(suite, 'A', adds(2, 20)),
      join(suite, 'B', adds(4, 30)),
      join(suite, 'C', adds(8, 40)),
    ]);
    const runId = await suite.startRun(bundle('num-server-rounds = 3\nmin-available-nodes = 4'));
    const run = await suite.finished(runId);
    expect(run.run?.status).toMatchObject({ status: 'finished', subStatus: 'completed' });
    expect(
      run.history.map(({ cohort, accepted, refused, dropped }) => ({ cohort, accepted, refused, dropped })),
    ).toEqual(Array.from({ length: 3 }, () => ({ cohort: 4, accepted: 4, refused: 0, dropped: 0 })));
    // Each round adds (1·10 + 2·20 + 4·30 + 8·40) / 100 = 4.9.
    const model = await suite.modelOf(run.modelId);
    expect(model.w?.map((value) => Math.fround(value))).toEqual(
      [14.7, 24.7, 34.7].map((value) => expect.closeTo(value, 4)),
    );
    expect(nodes.flatMap(({ outcomes }) => outcomes)).not.toContain('refused');
  });
});

describe('a run goes on', () => {
  it('when one node answers nonsense and another one vanishes', async () => {
    const suite = await up();
    const poison: App = (offer) =>
      offer.head.type === 'train'
        ? {
            arrays: new Map([
              ['w', npyOf([Number.NaN, 0, 0])],
              ['b', npyOf([0])],
            ]),
            metrics: [examples(5)],
          }
        : { metrics: [examples(5)] };
    let isAtWork = false;
    const silent: App = () => {
      isAtWork = true;
      return null;
    };
    await Promise.all([join(suite, 'A', adds(1, 10)), join(suite, 'B', adds(3, 10))]);
    const bad = await join(suite, 'A', poison);
    const lost = await join(suite, 'C', silent);
    const runId = await suite.startRun(
      bundle('num-server-rounds = 1\nmin-available-nodes = 4\nfraction-evaluate = 0.0'),
    );
    await eventually(() => isAtWork);
    await lost.leave();
    const run = await suite.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(run.history[0]).toMatchObject({ cohort: 4, accepted: 2, refused: 1, dropped: 1 });
    expect(bad.outcomes).toContain('refused');
    expect((await suite.modelOf(run.modelId)).w).toEqual([2, 12, 22]);
  });

  it('in the same round after everything but the bus was restarted', async () => {
    const suite = await up();
    const runs = await Promise.all([
      join(suite, 'A', adds(1, 10)),
      join(suite, 'A', adds(3, 10)),
      join(suite, 'B', adds(5, 10)),
    ]);
    const runId = await suite.startRun(
      bundle('num-server-rounds = 6\nmin-available-nodes = 3\nfraction-evaluate = 0.0'),
    );
    await eventually(() => (runs[0]?.outcomes.length ?? 0) >= 2);
    await suite.restart();
    const run = await suite.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(run.history).toHaveLength(6);
    expect((await suite.modelOf(run.modelId)).w).toEqual([18, 28, 38]);
  });
});
