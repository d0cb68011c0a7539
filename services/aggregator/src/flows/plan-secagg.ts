import { AegisError } from '@aegis/errors';
import { smallestCohort } from '../domain/cohort.ts';
import type { ModelInfo } from '../domain/model.ts';
import type { Plan } from '../domain/plan.ts';
import type { Ground } from './ground.ts';
import { parametersFor } from './masked-terms.ts';

/**
 * What of a masked run can be checked before its first message leaves: that somebody leads its rounds, that its model fits the grid, and that
 * the smallest cohorts that the plan allows reach their parameters. Runs in the clear pass unchanged.
 */
export async function planSecagg({ peers }: Ground, plan: Plan, model: ModelInfo | null): Promise<string[]> {
  const { secagg } = plan;
  if (secagg === undefined) return [];
  if (peers.secagg === null)
    throw new AegisError(
      'PLAN_INVALID',
      'aegis.secagg.mode is "aegis", but this aggregator was started without a secagg service that knows a federation root (aegis up --client-certificates accept --client-ca FILE, or `secagg` in its own configuration).',
    );
  const unknown = secagg.grid.ownClips.find(({ tensor }) => !model?.tensors.some(({ name }) => name === tensor));
  if (unknown !== undefined)
    throw new AegisError(
      'PLAN_INVALID',
      `aegis.secagg.own-clips names the array ${JSON.stringify(unknown.tensor)}, which the model does not have.`,
    );
  const notes: string[] = [];
  for (const kind of ['train', 'evaluate'] as const) {
    const { size } = smallestCohort(plan[kind]);
    if (kind === 'evaluate' && (plan.evaluate.fraction === 0 || size === 0)) continue;
    const key = `min-${kind}-nodes`;
    const { chosen, modulus } = await parametersFor(secagg, size, kind, model).catch((error: unknown) => {
      if (!(error instanceof AegisError) || error.code !== 'PLAN_INVALID') throw error;
      throw new AegisError(
        'PLAN_INVALID',
        `${detailOf(error)} A round may select as few as ${size}: raise ${key}.`,
        error,
      );
    });
    const graph = chosen.degree === size - 1 ? 'everybody masks with everybody' : `${chosen.degree} neighbours each`;
    const { total } = chosen.risks;
    const risk = total === null ? 'nothing is left to chance' : `risk 2^${Math.ceil(total)}`;
    notes.push(
      `masked ${kind} by ${size} nodes or more: with ${size}, ${graph}, ${chosen.threshold} shares open a secret, at least ${chosen.min_survivors} answers are summed, ${risk}; sums of ${size} × ${modulus.weight_max} × ${modulus.half_range}${modulus.noise > 0 ? ` + noise ${modulus.noise}` : ''} take ${modulus.bits} bits`,
    );
  }
  return notes;
}

const detailOf = (error: AegisError): string => error.detail;
