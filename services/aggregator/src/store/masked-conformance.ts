// What every intake does with masked answers: one sum in memory, opened only when it is whole. Masks cancel here: one vector is the total mask.
import { Grid } from '@aegis/core-native/secagg';
import { conformanceSuite } from '@aegis/testkit';
import { beforeEach, expect, it } from 'vitest';
import type { AcceptedAnswer } from '../domain/answer.ts';
import { coreGrid, type Masking, packedBytes } from '../domain/masking.ts';
import type { ModelInfo } from '../domain/model.ts';
import { arraysOf, f4, hashOf, i8, npz, room } from './conformance-updates.ts';
import type { MaskedTerms, RoundIntake, Stores } from './contract.ts';

const NODES = 3;
/** So that a vector ends inside a byte. */
const VALUE_BITS = 19;
const HALF_RANGE = 2 ** (VALUE_BITS - 1) - 1;

export const maskedFoldSuite = conformanceSuite<Stores>('Stores of masked runs', (stores) => {
  let base: ModelInfo;
  beforeEach(async () => {
    base = await stores().models.import('npz', npz({ w: f4([3], [1, 2, 3]), n: i8([], [40]) }), 1_000_000);
  });

  const masking = (): Masking => {
    const grid = {
      clip: 8,
      ownClips: [{ tensor: 'n', clip: 100 }],
      metrics: [{ name: 'loss', low: 0, high: 10 }],
      valueBits: VALUE_BITS,
      weightMax: 4,
      maxExamples: 4,
      normClip: 0,
    };
    const { specs, options } = coreGrid(grid, 'train', base);
    const known = Grid.create(specs, options);
    const { bits } = known.modulus(NODES);
    const counts = { cohort: NODES, dropouts: 0, colluders: 0, degree: 2, threshold: 2, minSurvivors: 3 };
    return { ...counts, plan: '00'.repeat(32), round: 261, bits, length: known.length, grid, stageSeconds: 1 };
  };
  const terms = (): MaskedTerms => ({ runId: room.runId, masking: masking() });

  /** Sentinels, weight, metric and steps of the grid, packed as a node packs them. */
  const vector = (steps: readonly number[], weight = 1, loss = 0): Buffer => {
    const { bits, length } = masking();
    const elements = [1, 1, 1, 1, weight, Math.round(weight * (loss / 5 - 1) * HALF_RANGE), ...steps];
    expect(elements).toHaveLength(length);
    let all = 0n;
    elements.forEach((element, at) => {
      all |= BigInt.asUintN(bits, BigInt(element)) << BigInt(at * bits);
    });
    const packed = Buffer.alloc(packedBytes({ bits, length }));
    for (let at = 0; at < packed.length; at += 1) packed[at] = Number((all >> BigInt(at * 8)) & 255n);
    return packed;
  };
  /** What `by` is in steps of weight 1. */
  const steps = (by: readonly number[], seen: number, weight = 1): number[] => {
    // in the order of the model's arrays
    const w = by.map((value) => Math.round((weight * value * HALF_RANGE) / 8));
    const n = [Math.round((weight * seen * HALF_RANGE) / 100)];
    return base.tensors.flatMap((tensor) => (tensor.name === 'w' ? w : n));
  };
  const none = (): Buffer => Buffer.alloc(packedBytes(masking()));

  const send = async (intake: RoundIntake, node: number, packed: Buffer): Promise<AcceptedAnswer> => {
    const masked = [];
    for (const piece of [packed.subarray(0, 7), packed.subarray(7, 8), packed.subarray(8)]) {
      const content = Buffer.concat([Buffer.from([node, 9]), piece]);
      await intake.append(hashOf(content), content);
      masked.push({ part: hashOf(content), offset: 2, length: piece.length });
    }
    const nothing = { tensors: [], metrics: [], weight: 1, runtimeSeconds: 1, norm: 0 };
    return { taskId: `T${node}`, nodeId: BigInt(node), digest: '', ...nothing, masked };
  };
  const three = (): Buffer[] => [
    vector(steps([1, 0, -1], 5), 1, 2),
    vector(steps([4, 0, 1], 5, 2), 2, 5),
    vector(steps([0, 0.5, 0], 9), 1, 4),
  ];

  it('move the start model by the weighted mean, from slices cut anywhere', async () => {
    const intake = await stores().intakes.open(room, base, 1);
    for (const [node, packed] of three().entries()) {
      const answer = await send(intake, node + 1, packed);
      expect(await intake.masked.check(answer.masked ?? [], terms())).toEqual({ accepted: true });
      await intake.masked.add(answer, terms());
    }
    const { model, metrics, weight } = await intake.masked.open(none(), NODES, terms());
    expect(weight).toBe(4);
    expect(metrics).toEqual([expect.closeTo(4, 3)]);
    const arrays = await arraysOf(stores(), model as ModelInfo);
    expect([...(arrays.w ?? [])]).toEqual([3.25, 2.125, 3.25].map((value) => expect.closeTo(value, 3)));
    expect([...(arrays.n ?? [])]).toEqual([46]);
    await intake.close();
  });

  it('take the total mask away', async () => {
    const intake = await stores().intakes.open(room, base, 1);
    const [first, second, third] = three() as [Buffer, Buffer, Buffer];
    const mask = vector(steps([2, 2, 2], 1), 0, 5);
    for (const [node, packed] of [first, second, third].entries())
      await intake.masked.add(await send(intake, node + 1, packed), terms());
    await expect(intake.masked.open(mask, NODES, terms())).rejects.toMatchObject({ code: 'SECAGG_SUM' });
    // nothing was used, and what was added is still there
    expect((await intake.masked.open(none(), NODES, terms())).weight).toBe(4);
    await intake.close();
  });

  it('open nothing but the sum of all of them', async () => {
    const intake = await stores().intakes.open(room, base, 1);
    for (const [node, packed] of three().slice(1).entries())
      await intake.masked.add(await send(intake, node + 1, packed), terms());
    for (const survivors of [1, 3])
      await expect(intake.masked.open(none(), survivors, terms())).rejects.toMatchObject({ code: 'SECAGG_SUM' });
    await expect(intake.masked.open(none().subarray(1), 2, terms())).rejects.toMatchObject({ code: 'SECAGG_SUM' });
    expect((await intake.masked.open(none(), 2, terms())).weight).toBe(3);
    await intake.close();
  });

  it('refuse what can be no vector', async () => {
    const intake = await stores().intakes.open(room, base, 1);
    const whole = vector(steps([0, 0, 0], 0));
    const dirty = Buffer.from(whole);
    dirty[dirty.length - 1] = 0xff;
    for (const packed of [whole.subarray(1), Buffer.concat([whole, Buffer.from([0])]), dirty]) {
      const answer = await send(intake, 1, packed);
      expect(await intake.masked.check(answer.masked ?? [], terms())).toMatchObject({
        accepted: false,
        code: 'UPDATE_TENSOR_MALFORMED',
      });
    }
    const unknown = [{ part: 'f'.repeat(64), offset: 0, length: whole.length }];
    expect(await intake.masked.check(unknown, terms())).toMatchObject({ accepted: false, code: 'PART_NOT_FOUND' });
    await intake.close();
  });

  it('are formed again from what was recorded, by the next owner too, to the same model', async () => {
    const intake = await stores().intakes.open(room, base, 1);
    const answers = [];
    for (const [node, packed] of three().entries()) {
      const answer = await send(intake, node + 1, packed);
      await intake.record(answer);
      await intake.masked.add(answer, terms());
      answers.push(answer);
    }
    const { model } = await intake.masked.open(none(), NODES, terms());
    await intake.close();
    for (const epoch of [1, 2]) {
      const again = await stores().intakes.open(room, base, epoch);
      const recorded = await again.recorded();
      expect(recorded.map(({ masked }) => masked)).toEqual(answers.map(({ masked }) => masked));
      for (const answer of recorded.reverse()) await again.masked.add(answer, terms());
      expect((await again.masked.open(none(), NODES, terms())).model?.modelId).toBe(model?.modelId);
      await again.close();
    }
  });

  it('of an evaluation have metrics alone', async () => {
    const intake = await stores().intakes.open({ ...room, kind: 'evaluate' }, base, 1);
    const { bits } = masking();
    const short: MaskedTerms = { runId: room.runId, masking: { ...masking(), length: 6 } };
    const packed = vector(steps([0, 0, 0], 0), 1, 5).subarray(0, packedBytes({ bits, length: 6 }));
    packed[packed.length - 1] = (packed.at(-1) ?? 0) & (2 ** ((6 * bits) % 8 || 8) - 1);
    await intake.masked.add(await send(intake, 1, packed), short);
    const opened = await intake.masked.open(Buffer.alloc(packed.length), 1, short);
    expect(opened).toEqual({ model: null, metrics: [expect.closeTo(5, 3)], weight: 1 });
    await intake.close();
  });
});
