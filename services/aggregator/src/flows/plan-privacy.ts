import { AegisError } from '@aegis/errors';
import type { ModelInfo } from '../domain/model.ts';
import type { Plan } from '../domain/plan.ts';
import type { PrivacyPlan } from '../domain/privacy-plan.ts';
import type { SecaggPlan } from '../domain/secagg-plan.ts';
import type { Ground } from './ground.ts';
import { planShares } from './plan-shares.ts';
import { policyOf } from './private-round.ts';

/**
 * Asks the ledger, before the first message leaves, whether all rounds of a private run fit its budgets, and with which noise. Nothing
 * is reserved: another run may be first, and then a round is refused later. Runs that promise nothing pass unchanged.
 */
export async function planPrivacy(
  { peers, telemetry }: Ground,
  runId: bigint,
  plan: Plan,
  model: ModelInfo | null,
): Promise<{ plan: Plan; notes: string[] }> {
  const { privacy } = plan;
  if (privacy === undefined) return { plan, notes: [] };
  const unnoised =
    model?.tensors.filter(({ dtype }) => !/^(<f[248]|bfloat16)$/.test(dtype)).map(({ name }) => name) ?? [];
  if (unnoised.length > 0)
    throw new AegisError(
      'PLAN_INVALID',
      `aegis.privacy.unit asks for a private run, but ${unnoised.length} arrays of the model are not floats and cannot be noised: ${unnoised.slice(0, 5).join(', ')}. Leave them out of what the nodes send, or make them floats.`,
    );
  const { ledger } = peers;
  if (ledger === null)
    throw new AegisError(
      'PLAN_INVALID',
      'aegis.privacy.unit asks for a private run, but this aggregator was started without a privacy-accountant.',
    );
  const units = [...new Set(peers.presence.units(privacy.unit).values())].sort();
  const attributes = { 'aegis.run_id': String(runId), 'aegis.privacy.epsilon': privacy.epsilon };
  const ask = (asked: Plan, promise: PrivacyPlan) =>
    telemetry.inSpan('privacy.plan', { attributes }, async () => {
      const answer = await ledger.plan({ policy: policyOf(runId, asked, promise), units });
      if (!answer.granted) throw new AegisError('PRIVACY_BUDGET_EXHAUSTED', answer.refusal);
      return answer;
    });
  const noiseFor = async (secagg: SecaggPlan) => (await ask({ ...plan, secagg }, privacy)).noiseMultiplier;
  const shares = plan.secagg === undefined ? undefined : await planShares(plan, plan.secagg, privacy, model, noiseFor);
  const planned: Plan = { ...plan, ...(shares && { secagg: shares.secagg }) };
  const { noiseMultiplier, balances } = await ask(planned, shares?.privacy ?? privacy);
  const after = balances.find(({ scope }) => scope === 'run');
  const spent =
    after === undefined ? '' : `, ε ${Number(after.epsilon.toPrecision(4))} after all ${plan.rounds} rounds`;
  const notes = [
    `privacy: budget ε ${privacy.epsilon}, δ ${privacy.delta} per ${privacy.unit}; noise multiplier ${Number(noiseMultiplier.toPrecision(4))} in each round${spent}`,
  ];
  if (shares !== undefined) notes.push(shares.note);
  return { plan: { ...planned, privacy: { ...privacy, noiseMultiplier } }, notes };
}
