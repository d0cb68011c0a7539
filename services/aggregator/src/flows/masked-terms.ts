import { createHash } from 'node:crypto';
import { CoreError } from '@aegis/core-native';
import { chooseParameters, Grid } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { canonicalPlan, coreGrid, type Masking, maskedRound } from '../domain/masking.ts';
import type { ModelInfo } from '../domain/model.ts';
import type { TaskKind } from '../domain/plan.ts';
import type { RoundState } from '../domain/round.ts';
import type { SecaggPlan } from '../domain/secagg-plan.ts';

/** What a cohort of this size needs; PLAN_INVALID, with the arithmetic, where it cannot be had. */
export async function parametersFor(plan: SecaggPlan, size: number, kind: TaskKind, model: ModelInfo | null) {
  try {
    const { dropouts, colluders } = plan;
    const { specs, options } = coreGrid(plan.grid, kind, model);
    const grid = Grid.create(specs, options);
    const chosen = await chooseParameters(size, { dropouts, colluders });
    return { chosen, modulus: grid.modulus(size), length: grid.length };
  } catch (error) {
    throw explained(error, plan, size, kind);
  }
}

/** The terms of this cohort's attempt. The same cohort gets the same ones. */
export async function maskingOf(state: RoundState, plan: SecaggPlan, model: ModelInfo | null): Promise<Masking> {
  const cohort = [...state.members.values()].map(({ nodeId }) => nodeId);
  const { chosen, modulus, length } = await parametersFor(plan, cohort.length, state.kind, model);
  const { dropouts, colluders, stageSeconds, grid } = plan;
  const text = canonicalPlan(state, { dropouts, colluders }, grid, cohort);
  return {
    cohort: cohort.length,
    dropouts,
    colluders,
    plan: createHash('sha256').update(text).digest('hex'),
    round: maskedRound(state.round, state.attempt, state.kind),
    degree: chosen.degree,
    threshold: chosen.threshold,
    minSurvivors: chosen.min_survivors,
    bits: modulus.bits,
    length,
    grid: state.kind === 'train' ? grid : { ...grid, ownClips: [] },
    stageSeconds,
  };
}

function explained(error: unknown, plan: SecaggPlan, size: number, kind: TaskKind): unknown {
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
