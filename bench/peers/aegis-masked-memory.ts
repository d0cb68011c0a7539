// What a masked round takes in the aggregator's memory, from the first part to the stored model: its own intake, folds and models, without doors.
// Arguments: FOLDER OUT aegis|flower NODES PARAMETERS.
import { createHash, randomBytes, randomFillSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { keyFileWrapper } from '@aegis/cloud';
import { Grid } from '@aegis/core-native/secagg';
import { systemRandom } from '@aegis/service-kit';
import type { AcceptedAnswer, PartSlice } from '../../services/aggregator/src/domain/answer.ts';
import { coreGrid, type Masking, packedBytes } from '../../services/aggregator/src/domain/masking.ts';
import type { ModelInfo } from '../../services/aggregator/src/domain/model.ts';
import type { Verdict } from '../../services/aggregator/src/domain/verdict.ts';
import type { RoundIntake } from '../../services/aggregator/src/store/contract.ts';
import { IntakeDirectory } from '../../services/aggregator/src/store/durable/intake-directory.ts';
import { ModelDirectory } from '../../services/aggregator/src/store/durable/model-directory.ts';

const [folder = '.', out = '', protocol = 'aegis', ...sizes] = process.argv.slice(2);
const [nodes = 1, parameters = 1] = sizes.map(Number);
const PART_BYTES = 5 * 2 ** 20;
const PREFIX_BYTES = 16;
const RUN = 1n;

const keys = keyFileWrapper(join(folder, 'memory.key'), { create: true });
const models = await ModelDirectory.open(join(folder, 'models'), (await keys.generate('bench')).key, 1, systemRandom);
const intakes = new IntakeDirectory(join(folder, 'intake'), keys, models);
const model = await startModel();
const intake = await intakes.open({ runId: RUN, round: 1, kind: 'train', attempt: 1 }, model, 1);

const play = protocol === 'flower' ? flowerRound(intake) : maskedRound(intake);

// What making the model and the vector took counts for nothing: the kernel's highest mark begins here.
globalThis.gc?.();
writeFileSync('/proc/self/clear_refs', '5');
const beforeBytes = resident('VmRSS');
await play.run();
await intake.close();
writeFileSync(out, JSON.stringify({ vectorBytes: play.vectorBytes, beforeBytes, peakBytes: resident('VmHWM') }));

interface Play {
  /** Of one vector as the sum holds it. */
  readonly vectorBytes: number;
  run(): Promise<void>;
}

/** Zeros: what is in it does not matter here. */
function startModel(): Promise<ModelInfo> {
  const shape = { dtype: 'F32', shape: [parameters], data_offsets: [0, 4 * parameters] };
  const head = Buffer.from(JSON.stringify({ w: shape }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  return models.import('safetensors', Buffer.concat([length, head, Buffer.alloc(4 * parameters)]), 2 ** 40);
}

/** The same vector from each: its sentinels and its weight say 1, its differences 0. Nobody masks: the total mask is 0. */
function maskedRound(intake: RoundIntake): Play {
  const grid = { clip: 8, ownClips: [], metrics: [], valueBits: 16, weightMax: 1, maxExamples: 0, normClip: 0 };
  const { specs, options } = coreGrid(grid, 'train', model);
  const known = Grid.create(specs, options);
  const { bits } = known.modulus(nodes);
  const counts = { cohort: nodes, dropouts: 0, colluders: 0, degree: 2, threshold: 2, minSurvivors: nodes };
  const of = { plan: '00'.repeat(32), round: 261, bits, length: known.length, grid, stageSeconds: 1 };
  const terms = { runId: RUN, masking: { ...counts, ...of } satisfies Masking };
  const none = Buffer.alloc(packedBytes(of));
  const packed = Buffer.alloc(none.length);
  let leading = 0n;
  for (let at = 0; at < known.length - parameters; at += 1) leading |= 1n << BigInt(at * bits);
  for (let at = 0; leading > 0n; at += 1, leading >>= 8n) packed[at] = Number(leading & 255n);
  return {
    vectorBytes: 4 * known.length,
    run: async () => {
      for (let node = 1; node <= nodes; node += 1) {
        const masked = await sendCut(intake, packed);
        taken(await intake.masked.check(masked, terms));
        await count({ ...answerOf(node), masked }, (answer) => intake.masked.add(answer, terms));
      }
      const { weight } = await intake.masked.open(none, nodes, terms);
      if (weight !== nodes) throw new Error(`The sum has the weight ${weight}, of ${nodes} nodes.`);
    },
  };
}

/** The same vector from each: the greatest weight, and zeros, which stand in the middle of Flower's grid. Nobody masks. */
function flowerRound(intake: RoundIntake): Play {
  const targetRange = 2 ** 22;
  const range = { maxWeight: 1000, clippingRange: 8, targetRange, modRange: 2 ** 32 };
  const ring = Array.from({ length: nodes }, (_, at) => BigInt(at + 1));
  const terms = { ...range, ring, shares: nodes, threshold: nodes };
  const weight = npyOfInt64('(1,)', 1, targetRange);
  const values = npyOfInt64(`(${parameters},)`, parameters, targetRange / 2);
  const object = Buffer.concat([Buffer.alloc(PREFIX_BYTES), weight, values]);
  return {
    vectorBytes: 8 * (parameters + 1),
    run: async () => {
      for (let node = 1; node <= nodes; node += 1) {
        randomFillSync(object, 0, PREFIX_BYTES);
        const part = hashOf(object);
        await intake.append(part, object);
        const arrays = [
          [{ part, offset: PREFIX_BYTES, length: weight.length }],
          [{ part, offset: PREFIX_BYTES + weight.length, length: values.length }],
        ];
        taken(await intake.flower.check(arrays, terms));
        const said = { stage: 'collect_masked_vectors', arrays } as const;
        await count({ ...answerOf(node), flower: said }, () => intake.flower.add(arrays, terms));
      }
      await intake.flower.open({ seeds: [], keys: [] }, terms);
    },
  };
}

/** In parts as guards cut them; random bytes in front, or parts would be known already. */
async function sendCut(intake: RoundIntake, packed: Buffer): Promise<PartSlice[]> {
  const slices: PartSlice[] = [];
  for (let at = 0; at < packed.length; at += PART_BYTES) {
    const piece = packed.subarray(at, at + PART_BYTES);
    const content = Buffer.concat([randomBytes(PREFIX_BYTES), piece]);
    await intake.append(hashOf(content), content);
    slices.push({ part: hashOf(content), offset: PREFIX_BYTES, length: piece.length });
  }
  return slices;
}

async function count(answer: AcceptedAnswer, add: (answer: AcceptedAnswer) => Promise<void>): Promise<void> {
  await intake.record(answer);
  await add(answer);
}

function taken(verdict: Verdict): void {
  if (!verdict.accepted) throw new Error(`${verdict.code}: ${verdict.detail}`);
}

function answerOf(node: number): AcceptedAnswer {
  const nothing = { digest: '', tensors: [], metrics: [], weight: 1, runtimeSeconds: 1, norm: 0 };
  return { taskId: `T${node}`, nodeId: BigInt(node), ...nothing };
}

function npyOfInt64(shape: string, length: number, value: number): Buffer {
  const dictionary = `{'descr': '<i8', 'fortran_order': False, 'shape': ${shape}, }`;
  const head = Buffer.from(`\x93NUMPY\x01\x00\x76\x00${dictionary.padEnd(117)}\n`, 'latin1');
  return Buffer.concat([head, Buffer.from(new BigInt64Array(length).fill(BigInt(value)).buffer)]);
}

function hashOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Bytes, as the kernel counts them. */
function resident(what: 'VmRSS' | 'VmHWM'): number {
  const line = readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm'));
  return Number(line?.[1]) * 1024;
}
