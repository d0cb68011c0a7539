// One app and one fleet for all crash tests, with sums that show in their last bits which updates went into them.
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import type { Target } from '../../services/gateway/src/testing/wire-client.ts';
import { type App, adds, WorkingNode } from './nodes.ts';
import { Suite } from './suite.ts';

const VALUES = 20_000;

/** `rounds` rounds of three nodes, none of which may be missing. */
export const bundle = (rounds: number): Buffer => {
  const values = Array.from({ length: VALUES }, (_, i) => Math.sin(i) * 1e-3);
  return fab({
    config: [
      'aegis.initial-model = "file:init.npz"',
      `num-server-rounds = ${rounds}`,
      'min-available-nodes = 3',
      'fraction-evaluate = 0.0',
    ].join('\n'),
    extra: [{ name: 'init.npz', content: writeNpz([{ name: 'w', npy: writeNpy(f4([VALUES], values)) }]) }],
  });
};

export const apps: readonly App[] = [adds(0.1, 7), adds(1 / 3, 11), adds(1e-4, 5)];

/** Three nodes at work on these gateways, taken in turn. `wrap` changes what a node's app does. */
export const fleet = async (targets: readonly Target[], wrap: (app: App, index: number) => App = (app) => app) => {
  const nodes = apps.map(
    (app, i) => new WorkingNode(targets[i % targets.length] as Target, i === 1 ? 'B' : 'A', wrap(app, i)),
  );
  for (const node of nodes) await node.start();
  return nodes;
};

/** The model that nothing disturbed. */
export const undisturbed = async (rounds: number): Promise<string> => {
  const suite = await Suite.start();
  const nodes = await fleet([suite.target]);
  try {
    return (await suite.finished(await suite.startRun(bundle(rounds)))).modelId;
  } finally {
    for (const node of nodes) await node.kill();
    await suite.close();
  }
};
