// What every intake does with answers of Flower's SecAgg+: in memory one sum, opened only when it is whole. Nobody masks here: nothing is to
// be taken away. With masks, and beside what real nodes sent: core-native/npm/flower-secagg.test.ts.
import { conformanceSuite } from '@aegis/testkit';
import { beforeEach, expect, it } from 'vitest';
import type { FlowerTerms } from '../domain/flower-secagg/terms.ts';
import type { ModelInfo } from '../domain/model.ts';
import { arraysOf, f4, hashOf, i8, npz, room } from './conformance-updates.ts';
import type { RoundIntake, Stores, VectorSlices } from './contract.ts';
import { writeNpy } from './memory/npy.ts';

const NODES = 3;
const CLIP = 8;
const TARGET = 2 ** 20;
const MAX_WEIGHT = 4;
const nothingMasked = { seeds: [], keys: [] };

export const flowerFoldSuite = conformanceSuite<Stores>("Stores of runs under Flower's SecAgg+", (stores) => {
  let base: ModelInfo;
  beforeEach(async () => {
    base = await stores().models.import('npz', npz({ w: f4([3], [1, 2, 3]), n: i8([], [40]) }), 1_000_000);
  });
  const terms: FlowerTerms = {
    ring: [1n, 2n, 3n],
    shares: NODES,
    threshold: 2,
    maxWeight: MAX_WEIGHT,
    clippingRange: CLIP,
    targetRange: TARGET,
    modRange: 2 ** 32,
  };

  /** As the node's mod makes it: the weight in front, every value times the weight and on a grid that begins at 0. */
  const vector = (weight: number, arrays: Record<string, number[]>): Buffer[] => {
    const steps = Math.round((weight * TARGET) / MAX_WEIGHT);
    const step = (value: number): number => Math.round((((value * steps) / TARGET + CLIP) * TARGET) / (2 * CLIP));
    const named = base.tensors.map(({ name, shape }) => i8([...shape], (arrays[name] ?? []).map(step)));
    return [i8([1], [steps]), ...named].map(writeNpy);
  };
  const send = async (intake: RoundIntake, node: number, files: readonly Buffer[]): Promise<VectorSlices> => {
    const arrays = [];
    for (const file of files) {
      const slices = [];
      for (const piece of [file.subarray(0, 130), file.subarray(130)]) {
        const content = Buffer.concat([Buffer.from([node, 9]), piece]);
        await intake.append(hashOf(content), content);
        slices.push({ part: hashOf(content), offset: 2, length: piece.length });
      }
      arrays.push(slices);
    }
    return arrays;
  };
  const three = (): Buffer[][] => [
    vector(1, { w: [1, 0, -1], n: [5] }),
    vector(2, { w: [4, 0, 1], n: [5] }),
    vector(1, { w: [0, 0.5, 0], n: [7] }),
  ];

  it('open the weighted mean, in the types of the start model', async () => {
    const intake = await stores().intakes.open(room, base, 1);
    for (const [node, files] of three().entries()) {
      const arrays = await send(intake, node + 1, files);
      expect(await intake.flower.check(arrays, terms)).toEqual({ accepted: true });
      await intake.flower.add(arrays, terms);
    }
    const model = await intake.flower.open(nothingMasked, terms);
    expect(model.tensors.map(({ name, dtype }) => [name, dtype])).toEqual(
      base.tensors.map(({ name, dtype }) => [name, dtype]),
    );
    const arrays = await arraysOf(stores(), model);
    expect([...(arrays.w ?? [])]).toEqual([2.25, 0.125, 0.25].map((value) => expect.closeTo(value, 4)));
    // 5.5 is no whole number: half to even, give or take the grid
    expect([5, 6]).toContain(Number([...(arrays.n ?? [])][0]));
    await intake.close();
  });

  it('give the same bits in any order, and to the next owner', async () => {
    const first = await stores().intakes.open(room, base, 1);
    const sent = [];
    for (const [node, files] of three().entries()) sent.push(await send(first, node + 1, files));
    for (const arrays of sent) await first.flower.add(arrays, terms);
    const { modelId } = await first.flower.open(nothingMasked, terms);
    await first.close();
    for (const epoch of [1, 2]) {
      const again = await stores().intakes.open(room, base, epoch);
      for (const arrays of sent.toReversed()) await again.flower.add(arrays, terms);
      expect((await again.flower.open(nothingMasked, terms)).modelId).toBe(modelId);
      await again.close();
    }
  });

  it('open nothing that so many nodes cannot have sent, and may be asked again', async () => {
    const intake = await stores().intakes.open(room, base, 1);
    for (const [node, files] of three().entries()) await intake.flower.add(await send(intake, node + 1, files), terms);
    const shares = [new Uint8Array(52), new Uint8Array(52)];
    const wrong = { seeds: [{ node: 1n, shares }], keys: [] };
    await expect(intake.flower.open(wrong, terms)).rejects.toMatchObject({ code: 'SECAGG_SUM' });
    const model = await intake.flower.open(nothingMasked, terms);
    const again = await intake.flower.open(nothingMasked, terms);
    expect(again.modelId).toBe(model.modelId);
    await intake.close();
  });

  it('refuse what can be no vector of the round, and count nothing of it', async () => {
    const intake = await stores().intakes.open(room, base, 1);
    const [honest] = three() as [Buffer[]];
    const others = vector(1, { w: [0, 0], n: [1] });
    const bad: Buffer[][] = [
      honest.slice(1),
      [...honest, honest[1] as Buffer],
      [honest[0] as Buffer, Buffer.from('not an array'), honest[2] as Buffer],
      others.map((file, at) => (at === 1 ? writeNpy(i8([2], [1, 1])) : file)),
      honest.map((file, at) => (at === 1 ? writeNpy(i8([3], [2 ** 32, 0, 0])) : file)),
      honest.map((file, at) => (at === 1 ? writeNpy(i8([3], [-1, 0, 0])) : file)),
    ];
    for (const files of bad)
      expect(await intake.flower.check(await send(intake, 1, files), terms)).toMatchObject({
        accepted: false,
        code: 'UPDATE_TENSOR_MALFORMED',
      });
    const unknown = [[{ part: 'f'.repeat(64), offset: 0, length: 9 }]];
    expect(await intake.flower.check(unknown, terms)).toMatchObject({ accepted: false, code: 'PART_NOT_FOUND' });
    for (const node of [1, 2]) await intake.flower.add(await send(intake, node, honest), terms);
    const arrays = await arraysOf(stores(), await intake.flower.open(nothingMasked, terms));
    expect([...(arrays.w ?? [])]).toEqual([1, 0, -1].map((value) => expect.closeTo(value, 4)));
    await intake.close();
  });
});
