// Rounds of Flower's own SecAgg+ as a server of ours keeps them: the stage machine, the record on the wire and the arithmetic of the core,
// against what real nodes said in two recorded runs, and against the real mod of three releases.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { npyElements, readNpyHeader } from '@aegis/core-native';
import { type FlowerMeans, FlowerSum } from '@aegis/core-native/flower-secagg';
import {
  decodeConfigRecord,
  encodeConfigRecord,
  readSecaggplusAnswer,
  type SecaggplusAnswer,
  secaggplusEntries,
} from '@aegis/flower-wire';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Answer, Stage } from '../../services/aggregator/src/domain/flower-secagg/answer.ts';
import { removalOf } from '../../services/aggregator/src/domain/flower-secagg/removal.ts';
import { requestTo } from '../../services/aggregator/src/domain/flower-secagg/request.ts';
import {
  afterFact,
  beginRound,
  checkAnswer,
  waitedFor,
} from '../../services/aggregator/src/domain/flower-secagg/round.ts';
import type { Round } from '../../services/aggregator/src/domain/flower-secagg/state.ts';
import { type FlowerSettings, termsFor } from '../../services/aggregator/src/domain/flower-secagg/terms.ts';
import { pythonOf, StockNodes } from './stock-secagg-nodes.ts';

const root = join(import.meta.dirname, '../..');
const SHAPES = [[3], []];

const settings = (threshold: number): FlowerSettings => ({
  numShares: { count: 1 },
  reconstructionThreshold: { count: threshold },
  maxWeight: 200,
  clippingRange: 8,
  targetRange: 2 ** 22,
  modRange: 2 ** 32,
});

/** Says what a node answers to the body of a record, or null if it is gone. */
type Ask = (node: bigint, stage: Stage, body: Buffer) => Promise<Buffer | null>;

const withNode = (node: bigint, answer: SecaggplusAnswer): Answer =>
  answer.stage === 'collect_masked_vectors' ? { stage: answer.stage, node } : { ...answer, node };

/** A whole round; null where it ended. */
async function playRound(
  ring: readonly bigint[],
  how: FlowerSettings,
  ask: Ask,
): Promise<{ round: Round; means: FlowerMeans | null }> {
  const sum = FlowerSum.create(how, SHAPES);
  let round = beginRound(termsFor(how, ring));
  while (round.stage !== 'open' && round.stage !== 'ended') {
    const { stage } = round;
    for (const node of waitedFor(round)) {
      const request = requestTo(round, node);
      if (request === null || round.stage !== stage) break;
      const body = await ask(node, stage, encodeConfigRecord(secaggplusEntries(request)));
      if (body === null) {
        round = afterFact(round, { kind: 'left', node, stage });
        continue;
      }
      const said = readSecaggplusAnswer(stage, decodeConfigRecord(body));
      const answer = withNode(node, said);
      checkAnswer(round, answer);
      if (said.stage === 'collect_masked_vectors') await sum.add(said.arrays);
      round = afterFact(round, { kind: 'answer', answer });
    }
  }
  if (round.stage === 'ended') {
    sum.close();
    return { round, means: null };
  }
  const { seeds, keys } = removalOf(round);
  for (const { shares } of seeds) await sum.removePrivate([...shares]);
  for (const { node, publicKey, shares, delivered } of keys)
    await sum.removePairs(
      { node: String(node), publicKey },
      [...shares],
      delivered.map((peer) => ({ ...peer, node: String(peer.node) })),
    );
  expect(sum.count).toBe(round.delivered.size);
  return { round, means: await sum.open() };
}

async function valuesOf(means: FlowerMeans, index: number): Promise<number[]> {
  const file = await means.array(index);
  const header = readNpyHeader(file);
  expect(header).toMatchObject({ dtype: '<f8', shape: SHAPES[index] });
  const bytes = await npyElements(file, { name: 'mean', dtype: '<f8', shape: SHAPES[index] as number[] });
  return [...new Float64Array(new Uint8Array(bytes).buffer)];
}

interface Recorded {
  printed: number[];
  nodes: Record<string, Record<Stage, { answer?: string }>>;
}
const recorded: Recorded[] = JSON.parse(readFileSync(join(root, 'tests/vectors/flower/secagg_runs.json'), 'utf8')).runs;

describe('a recorded round of Flower', () => {
  it.each([
    ['of four nodes', 0, 4, 0.2653],
    ['with a node that dropped out', 1, 3, 0.2936],
  ] as const)('%s opens to the bits that Flower printed', async (_, at, delivered, bias) => {
    const { nodes, printed } = recorded[at] as Recorded;
    const { round, means } = await playRound(Object.keys(nodes).map(BigInt), settings(3), async (node, stage) => {
      const answer = nodes[String(node)]?.[stage]?.answer;
      return answer === undefined ? null : Buffer.from(answer, 'hex');
    });
    if (round.stage !== 'open' || means === null) throw new Error(JSON.stringify(round));
    expect(round.delivered.size).toBe(delivered);
    expect(await valuesOf(means, 0)).toEqual(printed);
    // Flower prints 24.19 and 16.13: it does not rescale arrays without dimensions
    expect((await valuesOf(means, 1))[0]).toBeCloseTo(bias, 4);
    means.close();
  });
});

describe.each(['1.22.0', '1.39.0', '1.41.0'])('the mod of flwr %s', (release) => {
  let python: string;
  beforeAll(async () => {
    python = await pythonOf(release);
  }, 600_000);

  it('is summed exactly, whichever stage a node is gone in, round after round', async () => {
    const nodes = await new StockNodes(python).begin();
    try {
      // places are given in the order of the first round
      const ring = [9n, 2n ** 63n + 3n, 5n, 12345678901234567890n, 77n];
      const stages = [null, 'setup', 'share_keys', 'collect_masked_vectors', 'unmask'] as const;
      for (const gone of stages) {
        const { round, means } = await playRound(ring, settings(3), async (node, stage, body) =>
          node === 5n && stage === gone ? null : nodes.ask(node, body),
        );
        if (round.stage !== 'open' || means === null) throw new Error(`${gone}: ${JSON.stringify(round)}`);
        const isIn = (node: bigint) => node !== 5n || gone === null || gone === 'unmask';
        expect([...round.delivered].sort(), String(gone)).toEqual(ring.filter(isIn).sort());
        const places = ring.flatMap((node, at) => (isIn(node) ? [at + 1] : []));
        const examples = places.reduce((total, place) => total + 10 * place, 0);
        const mean = places.reduce((total, place) => total + (10 * place * place) / 8, 0) / examples;
        const values = [...(await valuesOf(means, 0)), ...(await valuesOf(means, 1))];
        expect(values).toHaveLength(4);
        // one step of the grid a node, over the share of the greatest weight that they have together
        const tolerance = (5 * 16 * 200) / (2 ** 22 * examples);
        for (const value of values) expect(Math.abs(value - mean), String(gone)).toBeLessThan(tolerance);
        means.close();
      }
    } finally {
      nodes.end();
    }
  }, 120_000);
});
