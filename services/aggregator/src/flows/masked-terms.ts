import { CoreError } from '@aegis/core-native';
import { chooseParameters, Grid, type MaskedPlan, type Parameters, planDigest } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { coreGrid, type Masking, maskedRound } from '../domain/masking.ts';
import type { ModelInfo } from '../domain/model.ts';
import type { TaskKind } from '../domain/plan.ts';
import type { RoundState } from '../domain/round.ts';
import { gridOf, type SecaggPlan } from '../domain/secagg-plan.ts';

/** What a cohort of this size needs; PLAN_INVALID, with the arithmetic, where it cannot be had. */
export async function parametersFor(plan: SecaggPlan, size: number, kind: TaskKind, model: ModelInfo | null) {
  try {
    const { dropouts, colluders } = plan;
    const { specs, options } = coreGrid(gridOf(plan, kind), kind, model);
    const grid = Grid.create(specs, options);
    const chosen = await chooseParameters(size, { dropouts, colluders });
    demandNoise(plan, kind, chosen);
    return { chosen, modulus: grid.modulus(size), length: grid.length };
  } catch (error) {
    throw explained(error, plan, size, kind);
  }
}

/**
 * The terms of this cohort's attempt, and whose tasks it does without: fractions are rounded up to whole nodes, so that a cohort of one more may
 * not reach what a smaller one does.
 */
export async function maskingOf(
  state: RoundState,
  plan: SecaggPlan,
  model: ModelInfo | null,
  asked: Pick<MaskedPlan, 'layout' | 'config' | 'appHash' | 'overrides'>,
): Promise<{ masking: Masking; without: string[] }> {
  const members = [...state.members.values()];
  const { size, found } = await largestCohort(members.length, state.rules.sampling.minNodes, (size) =>
    parametersFor(plan, size, state.kind, model),
  );
  const { chosen, modulus, length } = found;
  const { dropouts, colluders, stageSeconds } = plan;
  const grid = gridOf(plan, state.kind);
  const round = maskedRound(state.round, state.attempt, state.kind);
  const { runId, kind } = state;
  const { options } = coreGrid(grid, kind, model);
  const { maxExamples } = grid;
  const terms = { run: runId, kind, round: BigInt(round), cohort: size, grid: options, maxExamples };
  const masking = {
    cohort: size,
    dropouts,
    colluders,
    plan: planDigest({ ...terms, ...asked }),
    round,
    degree: chosen.degree,
    threshold: chosen.threshold,
    minSurvivors: chosen.min_survivors,
    bits: modulus.bits,
    length,
    grid,
    stageSeconds,
  };
  return { masking, without: members.slice(size).map(({ taskId }) => taskId) };
}

/** Rounding moves what is reached by one node here and there. */
const SIZES_TRIED = 16;

/** The first error counts where no size down to the least reaches its parameters. */
async function largestCohort<T>(most: number, least: number, reach: (size: number) => Promise<T>) {
  let first: unknown;
  for (let size = most; size >= Math.max(least, 2) && size > most - SIZES_TRIED; size -= 1) {
    try {
      return { size, found: await reach(size) };
    } catch (error) {
      if (AegisError.from(error).code !== 'PLAN_INVALID') throw error;
      first ??= error;
    }
  }
  throw first ?? new AegisError('PLAN_INVALID', `A cohort of ${most} cannot be masked.`);
}

/** The shares were planned for the smallest cohort: rounding may leave a larger one with fewer honest nodes. */
function demandNoise({ noise }: SecaggPlan, kind: TaskKind, chosen: Parameters): void {
  const honest = chosen.min_survivors - chosen.colluders;
  if (noise === undefined || kind !== 'train' || honest >= noise.parties) return;
  throw invalid(
    `of ${chosen.cohort} nodes ${honest} are sure to be honest and in the sum, and the noise is planned for ${noise.parties}`,
    undefined,
  );
}

export function explained(error: unknown, plan: SecaggPlan, size: number, kind: TaskKind): unknown {
  if (!(error instanceof CoreError) || error.code !== 'SECAGG_PARAMETERS') return error;
  const { tensor } = error.detail;
  if (tensor !== undefined)
    return invalid(
      `aegis.secagg.own-clips must give the array ${JSON.stringify(tensor)} a range: ${error.message.replace(/^[A-Z_]+: /, '')}. Say "${tensor}:RANGE", or leave the array out of the model`,
      error,
    );
  const facts = Object.entries(error.detail).map(([name, value]) => `${name} ${value}`);
  return invalid(
    `aegis.secagg cannot mask ${kind} by ${size} nodes with dropouts ${plan.dropouts}, colluders ${plan.colluders}, value-bits ${plan.grid.valueBits} and weight-max ${plan.grid.weightMax}: ${error.message.replace(/^[A-Z_]+: /, '')}${facts.length > 0 ? ` (${facts.join(', ')})` : ''}`,
    error,
  );
}

const invalid = (why: string, cause: unknown): AegisError => new AegisError('PLAN_INVALID', `${why}.`, cause);
