import { Grid } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import { smallestCohort } from '../domain/cohort.ts';
import { coreGrid } from '../domain/masking.ts';
import type { ModelInfo } from '../domain/model.ts';
import type { Plan } from '../domain/plan.ts';
import type { PrivacyPlan } from '../domain/privacy-plan.ts';
import { gridOf, type SecaggPlan } from '../domain/secagg-plan.ts';
import { explained, parametersFor } from './masked-terms.ts';

/** Any share will do to ask what noise is needed: the core's accounting sees no difference from here on. */
const ANY_SHARE = 2 ** 20;

/**
 * The share of noise that each node of a masked run adds, the same in all its rounds: enough when the fewest nodes of the smallest cohort are in
 * the sum and the colluders among them added nothing. `noiseFor` is asked where the plan leaves the noise open. PLAN_INVALID, with the
 * arithmetic, where nobody honest is sure to be left, or no share fits the grid.
 */
export async function planShares(
  plan: Plan,
  secagg: SecaggPlan,
  privacy: PrivacyPlan,
  model: ModelInfo | null,
  noiseFor: (secagg: SecaggPlan) => Promise<number>,
): Promise<{ secagg: SecaggPlan; privacy: PrivacyPlan; note: string }> {
  const { size } = smallestCohort(plan.train);
  const { chosen } = await parametersFor(secagg, size, 'train', model);
  const honest = chosen.min_survivors - chosen.colluders;
  if (honest < 1)
    throw new AegisError(
      'PLAN_INVALID',
      `aegis.privacy.unit asks for noise that the nodes add, but of ${size} nodes ${chosen.min_survivors} may make a sum and ${chosen.colluders} may work with the server: nobody's noise is sure to count. Raise min-train-nodes, or lower aegis.secagg.dropouts or aegis.secagg.colluders.`,
    );
  const { specs, options } = coreGrid(gridOf(secagg, 'train'), 'train', model);
  const withShare = (localSigma: number) => {
    const { parties, dimension, l1, l2, ...made } = Grid.create(specs, { ...options, noiseSigma: localSigma }).noise(
      honest,
    );
    return { made: made.noise_multiplier, planned: { ...secagg, noise: { parties, localSigma, dimension, l1, l2 } } };
  };
  try {
    const noise = privacy.noiseMultiplier ?? (await noiseFor(withShare(ANY_SHARE).planned));
    const { made, planned } = withShare(Grid.create(specs, options).noiseShare(noise, honest));
    return {
      secagg: planned,
      privacy: { ...privacy, noiseMultiplier: made },
      note: `each node adds noise of σ ${planned.noise.localSigma} steps to each of ${planned.noise.dimension} elements before it masks, of which one node changes ${Number(planned.noise.l2.toPrecision(6))} steps (L2) at most; counted are the shares of ${honest} honest nodes, the ${chosen.min_survivors} in a sum of ${size} less ${chosen.colluders} who may work with the server`,
    };
  } catch (error) {
    throw explained(error, secagg, size, 'train');
  }
}
