import {
  SecaggStage,
  type MaskedGrid as WireGrid,
  type Masking as WireMasking,
} from '@aegis/contracts/aegis/events/v1/task';
import type { ClientFrame, StageRequest as WireRequest } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { type MaskedGrid, type Masking, STAGES, type Stage } from '../domain/masking.ts';
import type { StageRequest } from './contract.ts';

/** Numbers that may be under a mask besides the tensors; more would be a tensor of its own. */
const MOST_METRICS = 256;
const LONGEST_NAME = 200;
/** Of one stage: the roster and the shares of a large federation, with room. */
const LARGEST_REQUEST = 64 * 2 ** 20;

export const malformed = (detail: string): AegisError => new AegisError('REQUEST_MALFORMED', detail);

export const place = (value: bigint): number => {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw malformed(`Nothing has ${value} bytes.`);
};

/** Throws REQUEST_MALFORMED for terms that no round could have. Whether they protect enough is for the owner's policy and the core. */
export const readMasking = (masking: WireMasking): Masking => {
  const { cohort, plan, round, degree, threshold, minSurvivors, bits, grid } = masking;
  const terms = {
    cohort: whole('cohort', cohort, 1, 2 ** 20),
    plan: plan.toString('hex'),
    round,
    degree: whole('degree', degree, 1, 2 ** 20),
    threshold: whole('threshold', threshold, 1, 2 ** 20),
    minSurvivors: whole('min_survivors', minSurvivors, 1, cohort),
    bits: whole('bits', bits, 2, 62),
    length: whole('length', place(masking.length), 1, 2 ** 40),
  };
  if (plan.byteLength !== 32) throw malformed('A plan of a masked round is named by a SHA-256.');
  if (grid === undefined) throw malformed('A masked task does not say how values become integers.');
  return { ...terms, grid: readGrid(grid) };
};

const readGrid = (grid: WireGrid): MaskedGrid => {
  const { clip, ownClips, metrics, valueBits, weightMax, maxExamples, normClip, noiseSigma } = grid;
  if (metrics.length > MOST_METRICS) throw malformed(`A mask over ${metrics.length} metrics.`);
  const named = metrics.map(({ name, low, high }) => {
    if (name === '' || name.length > LONGEST_NAME) throw malformed('A metric has a name that is none.');
    if (!(Number.isFinite(low) && Number.isFinite(high) && low < high)) throw malformed('A metric has no range.');
    return { name, low, high };
  });
  if (new Set(named.map(({ name }) => name)).size !== named.length) throw malformed('A metric is there twice.');
  return {
    clip: above0('clip', clip),
    ownClips: Object.fromEntries(Object.entries(ownClips).map(([name, own]) => [name, above0('own_clips', own)])),
    metrics: named,
    valueBits: whole('value_bits', valueBits, 2, 32),
    weightMax: whole('weight_max', place(weightMax), 1, 2 ** 32),
    maxExamples: readMaxExamples(maxExamples, weightMax),
    normClip: normClip === 0 ? null : above0('norm_clip', normClip),
    noiseSigma: noiseSigma === 0 ? null : above0('noise_sigma', noiseSigma),
  };
};

/** Where all weigh 1 there is none: a maximum that nothing is weighed by would only make nodes say whether they have more. */
const readMaxExamples = (maxExamples: number, weightMax: bigint): number | null => {
  if (weightMax !== 1n) return whole('max_examples', maxExamples, 1, Number.MAX_SAFE_INTEGER);
  if (maxExamples !== 0) throw malformed('A masked round in which all weigh the same asks who has more examples.');
  return null;
};

const whole = (name: string, value: number, least: number, most: number): number => {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw malformed(`The ${name} of a masked round is ${value}.`);
};

const above0 = (name: string, value: number): number => {
  if (Number.isFinite(value) && value > 0) return value;
  throw malformed(`The ${name} of a masked round is ${value}.`);
};

const numbers: Readonly<Record<Stage, SecaggStage>> = {
  advertise: SecaggStage.ADVERTISE,
  share: SecaggStage.SHARE,
  mask: SecaggStage.MASK,
  confirm: SecaggStage.CONFIRM,
  unmask: SecaggStage.UNMASK,
};

export const stageFrame = (taskId: string, stage: Stage, answer: string): NonNullable<ClientFrame['frame']> => ({
  $case: 'stageAnswer',
  value: { taskId, stage: numbers[stage], answer: Buffer.from(answer) },
});

/** null: the node is done. */
export const readStageRequest = ({ stage, request }: WireRequest): StageRequest | null => {
  if (stage === SecaggStage.UNSPECIFIED) return null;
  const named = STAGES.find((one) => numbers[one] === stage);
  if (named === undefined || request.byteLength > LARGEST_REQUEST) throw malformed('A stage that no round has.');
  return { stage: named, request: request.toString('utf8') };
};
