// A masked run as `aegis up` serves it: real guards, the gateway, the secagg service and the aggregator; the SuperNodes are simulated.
import { readFile } from 'node:fs/promises';
import { type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { GuardedNodes } from './guarded-nodes.ts';
import { type App, adds } from './nodes.ts';
import { Suite } from './suite.ts';

const POLICY = `apps: ["*"]
require-masking: true
masking: { cohort: 4, survivors: 3 }
`;
const bundle = (nodes: number, lines: readonly string[] = []): Buffer =>
  fab({
    config: [
      'aegis.initial-model = "file:init.npz"',
      'num-server-rounds = 2',
      `min-available-nodes = ${nodes}`,
      'min-train-nodes = 4',
      'min-evaluate-nodes = 4',
      'aegis.secagg.mode = "aegis"',
      'aegis.secagg.stage-seconds = 5.0',
      ...lines,
    ].join('\n'),
    extra: [
      {
        name: 'init.npz',
        content: writeNpz([
          { name: 'w', npy: writeNpy(f4([3], [0, 10, 20])) },
          { name: 'b', npy: writeNpy(f4([1], [1])) },
        ]),
      },
    ],
  });

let folder: TemporaryFolder;
let federation: GuardedNodes;
let suite: Suite;
const guards: Awaited<ReturnType<GuardedNodes['start']>>[] = [];
beforeEach(async () => {
  folder = await temporaryFolder('masked-run');
  federation = await GuardedNodes.in(folder.path);
  suite = await Suite.start({ federation });
});
afterEach(async () => {
  await Promise.all(guards.splice(0).map((guard) => guard.end()));
  await suite.close();
  await folder.remove();
});

const join = async (apps: readonly App[]): Promise<void> => {
  for (const [index, app] of apps.entries()) {
    guards.push(await federation.start(`owner-${index}`, suite.target, POLICY, app));
  }
};
const audit = async (event: string) => {
  const files = await Promise.all(guards.map(({ auditFile }) => readFile(auditFile, 'utf8')));
  const lines = files.flatMap((text) => text.split('\n').filter(Boolean));
  return lines.map((line) => JSON.parse(line)).filter((line) => line.event === event);
};

describe('a masked run', () => {
  it('adds what the nodes learned, within a step of the grid, and nothing but sums was ever opened', async () => {
    await join([1, 2, 3, 4, 5].map((by) => adds(by, 10)));
    const runId = await suite.startRun(bundle(5));
    const run = await suite.finished(runId);
    expect(run.run?.status).toMatchObject({ subStatus: 'completed' });
    expect(run.history.map(({ cohort, accepted }) => ({ cohort, accepted }))).toEqual([
      { cohort: 5, accepted: 5 },
      { cohort: 5, accepted: 5 },
    ]);
    // Each round adds (1 + 2 + 3 + 4 + 5) / 5 = 3.
    const { w, b } = await suite.modelOf(run.modelId);
    expect(w).toEqual([6, 16, 26].map((value) => expect.closeTo(value, 2)));
    expect(b).toEqual([expect.closeTo(7, 2)]);
    const opened = await audit('sum-opened');
    expect(opened).toHaveLength(5 * 2 * 2);
    expect(opened.every(({ survivors }) => survivors === 5)).toBe(true);
    expect((await audit('answer-released')).every(({ maskedAmong }) => maskedAmong >= 3)).toBe(true);
  });

  it('takes metrics and weights into the sum, as the plan and the owners name them', async () => {
    const policy = `${POLICY}metrics: [{ name: seen, min: 0, max: 10 }, { name: loss, min: 0, max: 10 }]\n`;
    for (const by of [1, 2, 3, 4]) {
      guards.push(await federation.start(`weighs-${by}`, suite.target, policy, adds(by, by * 10)));
    }
    const lines = [
      'aegis.secagg.metrics = "seen:0:10:train,loss:0:10:evaluate"',
      'aegis.secagg.weight-max = 100',
      'aegis.secagg.max-examples = 100',
    ];
    const run = await suite.finished(await suite.startRun(bundle(4, lines)));
    expect(run.run?.status).toMatchObject({ subStatus: 'completed' });
    // (1·10 + 2·20 + 3·30 + 4·40) / 100
    const [first] = run.history;
    const seen = first?.trainMetrics.find(({ key }) => key === 'seen')?.value?.value;
    expect(seen).toMatchObject({ value: expect.closeTo(3, 2) });
    const loss = first?.evaluateMetrics.find(({ key }) => key === 'loss')?.value?.value;
    expect(loss).toMatchObject({ value: expect.closeTo(3, 2) });
    expect((await suite.modelOf(run.modelId)).w).toEqual([6, 16, 26].map((value) => expect.closeTo(value, 2)));
  });

  it('goes on without a node that is gone after it shared its keys, and opens the sum of the others', async () => {
    const working = Promise.withResolvers<void>();
    const silent: App = () => {
      working.resolve();
      return null;
    };
    await join([...[1, 2, 3, 4].map((by) => adds(by, 10)), silent]);
    const runId = await suite.startRun(bundle(4, ['fraction-evaluate = 0.0']));
    await working.promise;
    await guards.pop()?.end();
    const run = await suite.finished(runId);
    expect(run.run?.status).toMatchObject({ subStatus: 'completed' });
    expect(run.history[0]).toMatchObject({ cohort: 5, accepted: 4 });
    // Each round adds (1 + 2 + 3 + 4) / 4 = 2.5.
    expect((await suite.modelOf(run.modelId)).w).toEqual([5, 15, 25].map((value) => expect.closeTo(value, 2)));
    expect((await audit('sum-opened')).every(({ survivors }) => survivors === 4)).toBe(true);
  });
});
