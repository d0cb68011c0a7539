// A private run over real processes: what is released was paid for, and no kill -9 forgets or repeats any of it.
import { createPublicKey, verify } from 'node:crypto';
import { ScopeKind } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { Cluster } from './cluster.ts';
import { fleet } from './crash-app.ts';
import type { WorkingNode } from './nodes.ts';

const ROUNDS = 3;
const bundle = (lines: string): Buffer =>
  fab({
    config: [
      'aegis.initial-model = "file:init.npz"',
      `num-server-rounds = ${ROUNDS}`,
      'min-available-nodes = 3',
      ...(lines.includes('min-train-nodes') ? [] : ['min-train-nodes = 3']),
      'fraction-evaluate = 0.0',
      'aegis.privacy.unit = "node"',
      'aegis.privacy.clip = 1.0',
      ...(lines.includes('privacy.dataset') ? [] : ['aegis.privacy.dataset = "wards"']),
      lines,
    ].join('\n'),
    extra: [{ name: 'init.npz', content: writeNpz([{ name: 'w', npy: writeNpy(f4([4], [0, 0, 0, 0])) }]) }],
  });

let cluster: Cluster;
let nodes: WorkingNode[];
beforeAll(async () => {
  cluster = await Cluster.start({ accountant: true });
  const { operator } = cluster.ledger();
  for (const scope of [
    { kind: ScopeKind.DATASET, name: 'wards' },
    { kind: ScopeKind.UNIT, name: '' },
  ])
    await operator.setBudget({ scope, epsilon: 6, delta: 0, addPartitions: [] });
  nodes = await fleet([cluster.target()]);
}, 120_000);
afterAll(async () => {
  await Promise.all(nodes.map((node) => node.kill()));
  await cluster.close();
});

const spent = async (): Promise<number> => {
  const { balances } = await cluster.ledger().reader.spent({ scopes: [{ kind: ScopeKind.DATASET, name: 'wards' }] });
  return balances[0]?.epsilon ?? 0;
};

describe('a private run', () => {
  it('survives kill -9 of accountant, aggregator, gateway and NATS; each model has a statement that fits', async () => {
    const runId = await cluster.startRun(bundle('aegis.privacy.epsilon = 4.0'));
    const [gateway, aggregator] = [cluster.gateways[0], cluster.aggregators[0]];
    const finished = cluster.finished(runId, 110_000);
    let before = 0;
    for (const victim of [cluster.accountant, aggregator, gateway]) {
      await victim?.kill();
      victim?.start();
      if (victim === cluster.accountant && cluster.accountant) await cluster.ready(cluster.accountant);
      const now = await spent();
      expect(now).toBeGreaterThanOrEqual(before);
      before = now;
    }
    await cluster.nats.kill();
    await cluster.nats.restart();
    const run = await finished;
    expect(run.run?.status, cluster.logs()).toMatchObject({ subStatus: 'completed' });
    expect(run.history).toHaveLength(ROUNDS);
    expect(run.privacy?.epsilon).toBeGreaterThan(0);
    expect(run.privacy?.epsilon).toBeLessThanOrEqual(4);
    let epsilon = 0;
    for (const { modelId } of run.history) {
      const statement = await cluster.ledger().reader.statement({ runId, modelId });
      const { payloadType, payload } = statement;
      const signed = Buffer.concat([
        Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `),
        payload,
      ]);
      expect(verify(null, signed, createPublicKey(statement.publicKey), statement.signature)).toBe(true);
      const content = JSON.parse(payload.toString()) as {
        guarantee: { unit: string; relation: string; epsilon: number };
        covers: string;
        model: string;
      };
      expect(content).toMatchObject({
        model: modelId,
        guarantee: { unit: 'node', relation: 'zero-out' },
        covers: 'the model only',
      });
      expect(content.guarantee.epsilon).toBeGreaterThan(epsilon);
      epsilon = content.guarantee.epsilon;
    }
  }, 120_000);

  it('with the noise of a tree asks everybody once and pays once, also through kill -9 of accountant and aggregator', async () => {
    const lines = [
      'min-train-nodes = 1',
      'fraction-train = 0.1',
      'aegis.privacy.dataset = "beds"',
      'aegis.privacy.mechanism = "tree"',
      'aegis.privacy.noise-multiplier = 20.0',
      'aegis.privacy.epsilon = 1.0',
    ];
    const runId = await cluster.startRun(bundle(lines.join('\n')));
    const finished = cluster.finished(runId, 60_000);
    for (const victim of [cluster.aggregators[0], cluster.accountant]) {
      await victim?.kill();
      victim?.start();
    }
    const run = await finished;
    expect(run.run?.status, cluster.logs()).toMatchObject({ subStatus: 'completed' });
    expect(run.history.map(({ cohort }) => cohort)).toEqual([1, 1, 1]);
    const statements = await Promise.all(
      run.history.map(async ({ modelId }) => {
        const { payload } = await cluster.ledger().reader.statement({ runId, modelId });
        return JSON.parse(payload.toString()) as { guarantee: { epsilon: number }; units: number };
      }),
    );
    for (const statement of statements)
      expect(statement).toMatchObject({
        guarantee: { unit: 'node', relation: 'zero-out', epsilon: statements[0]?.guarantee.epsilon },
        events: [{ mechanism: 'tree', steps: [ROUNDS], epochs: 1, 'noise-multiplier': 20, count: 1 }],
      });
    // two nodes of the tree, μ = √2/20: Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ) = 10⁻⁵ (Balle, Wang 1805.06530, theorem 8)
    expect(statements[0]?.guarantee.epsilon).toBeCloseTo(0.233546, 5);
    // one more unit with each round: nobody twice
    expect(statements.map(({ units }) => units)).toEqual([1, 2, 3]);
  });

  it('is refused, before anybody is asked, when the budget of its data set does not cover it', async () => {
    const before = await spent();
    const lines = 'aegis.privacy.epsilon = 4.0\naegis.privacy.noise-multiplier = 2.0';
    await expect(cluster.startRun(bundle(lines))).rejects.toMatchObject({
      message: expect.stringMatching(/privacy budget/i),
    });
    expect(await spent()).toBe(before);
  });
});
