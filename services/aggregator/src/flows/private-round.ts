import { AegisError } from '@aegis/errors';
import type { Plan } from '../domain/plan.ts';
import type { PrivacyPlan } from '../domain/privacy-plan.ts';
import {
  chargedNodes,
  inTheClear,
  nextClip,
  plannedEvent,
  type ReleasedRound,
  reservationKey,
  splitNoise,
  survivorsEvent,
  unitKeys,
} from '../domain/private-round.ts';
import type { RoundInput, RoundState } from '../domain/round.ts';
import type { Balance, Reservation, RunPolicy } from '../peers/contract.ts';
import type { NoisedRound, RoundNoise } from '../store/contract.ts';
import type { Ground } from './ground.ts';

/** What the whole of a private run may let out, as its ledger is told in every call: the first one counts, another is refused. */
export const policyOf = (runId: bigint, plan: Plan, privacy: PrivacyPlan): RunPolicy => ({
  runId,
  dataset: privacy.dataset,
  ...(privacy.partition !== undefined && { partition: privacy.partition }),
  unit: privacy.unit,
  epsilon: privacy.epsilon,
  delta: privacy.delta,
  schedule: [plannedEvent({ ...plan, privacy }, plan.rounds)],
});

/** The pseudonyms of those whom the round is charged to, in an order that says nothing of who was selected. */
export function unitsToCharge(
  units: ReadonlyMap<bigint, string>,
  state: RoundState,
  online: readonly bigint[],
  selected: readonly bigint[],
): string[] {
  const { privacy } = state.rules;
  if (privacy === undefined) return [];
  return chargedNodes(privacy, online, selected)
    .flatMap((node) => units.get(node) ?? [])
    .sort();
}

/** Pays for the round before it asks anybody. Asked again after a crash, the ledger gives the same answer. */
export async function reserveRound(
  ground: Ground,
  plan: Plan,
  state: RoundState,
  parent?: string,
): Promise<RoundInput> {
  const { ledger } = ground.peers;
  const { runId, round, attempt, rules, units = [] } = state;
  if (ledger === null || plan.privacy === undefined || rules.privacy === undefined)
    return { type: 'not-reserved', reason: 'there is no privacy ledger any more' };
  const keys = unitKeys(units);
  if (keys.size > 1)
    return {
      type: 'not-reserved',
      reason: `the gateways make pseudonyms with ${keys.size} different keys (${[...keys].join(', ')}), so one node could have several budgets: give all of them the same unit-key-file`,
    };
  const key = reservationKey(runId, round, attempt);
  const { noiseMultiplier } = rules.privacy;
  const attributes = { 'aegis.run_id': String(runId), 'aegis.round': round, 'aegis.privacy.noise': noiseMultiplier };
  return ground.telemetry.inSpan('privacy.reserve', { parent, attributes }, async (span): Promise<RoundInput> => {
    const privacy = plan.privacy as PrivacyPlan;
    const policy = policyOf(runId, plan, privacy);
    const event = plannedEvent({ ...plan, privacy: { ...privacy, noiseMultiplier } }, 1);
    const answer = await ledger.reserve({ key, policy, units, events: [event] });
    span.setAttribute('aegis.privacy.granted', answer.granted);
    ground.measures.privacyRounds.add(1, { outcome: answer.granted ? 'reserved' : 'refused' });
    if (!answer.granted) return { type: 'not-reserved', reason: answer.refusal };
    if (answer.reservation.state !== 'reserved')
      return {
        type: 'not-reserved',
        reason: `the ledger has ${key} as ${answer.reservation.state}; nothing may leave under it again`,
      };
    span.setAttribute('aegis.privacy.epsilon', runBalance(answer.reservation)?.epsilon ?? 0);
    return { type: 'reserved', reservationId: answer.reservation.reservationId };
  });
}

/** What was sealed is paid for; only now it may leave. */
export async function commitRound(
  ground: Ground,
  plan: Plan,
  state: RoundState,
  noised: NoisedRound,
  parent?: string,
): Promise<ReleasedRound> {
  const { ledger } = ground.peers;
  const { privacy } = plan;
  const rules = state.rules.privacy;
  if (ledger === null || privacy === undefined || rules === undefined || state.reservationId === undefined)
    throw new AegisError('INTERNAL', 'A private round was to be committed without a reservation.');
  const { reservationId } = state;
  const clip = { now: rules.clip, next: nextClip(privacy, rules.clip, noised.clipBits ?? 0, denominatorOf(state)) };
  const attributes = {
    'aegis.run_id': String(state.runId),
    'aegis.round': state.round,
    'aegis.privacy.clip': clip.now,
    'aegis.privacy.noise': rules.noiseMultiplier,
    'aegis.privacy.delta': privacy.delta,
  };
  return ground.telemetry.inSpan('privacy.commit', { parent, attributes }, async (span) => {
    const clear = inTheClear(plan.evaluate.fraction > 0, privacy.sampling);
    const events = happened(plan, state);
    const answer = await ledger.commit({
      reservationId,
      events,
      resultDigest: noised.model.modelId,
      inTheClear: clear,
    });
    if (!answer.granted) throw new AegisError('PRIVACY_BUDGET_EXHAUSTED', answer.refusal);
    const balance = runBalance(answer.reservation);
    const epsilon = balance?.epsilon ?? privacy.epsilon;
    const left = 1 - (balance?.used ?? 1);
    span.setAttributes({ 'aegis.privacy.epsilon': epsilon, 'aegis.privacy.left': left });
    const { measures } = ground;
    const labels = { dataset: privacy.dataset };
    measures.privacyRounds.add(1, { outcome: 'committed' });
    measures.privacyEpsilon.record(epsilon, labels);
    measures.privacyDelta.record(privacy.delta, labels);
    measures.privacyLeft.record(left, labels);
    measures.privacyClip.record(clip.now, labels);
    measures.privacyNoise.record(rules.noiseMultiplier, labels);
    return {
      clip: clip.now,
      nextClip: clip.next,
      noiseMultiplier: rules.noiseMultiplier,
      epsilon,
      delta: privacy.delta,
      left,
    };
  });
}

/** Of a masked round the noise of those who are in the sum; else what was reserved. */
function happened({ privacy, secagg }: Plan, { masking, members }: RoundState): string[] {
  if (secagg?.noise === undefined || masking === undefined || privacy?.noiseMultiplier == null) return [];
  const { unit, noiseMultiplier } = privacy;
  const survivors = [...members.values()].filter((member) => member.state === 'accepted').length;
  // a hair below, as the core counts
  const colluders = Math.ceil(masking.cohort * masking.colluders - 1e-9);
  return [survivorsEvent(secagg.noise, { unit, noiseMultiplier }, survivors - colluders)];
}

/** Nothing left: the ledger may give it back. What cannot be told to it now stays spent, which is the safe side. */
export async function releaseRound(
  ground: Ground,
  reservationId: string,
  reason: string,
  parent?: string,
): Promise<void> {
  const { ledger } = ground.peers;
  if (ledger === null) return;
  await ground.telemetry.inSpan('privacy.release', { parent }, () => ledger.release({ reservationId, reason }));
  ground.measures.privacyRounds.add(1, { outcome: 'released' });
}

/** The noise of the round, and what its sum is divided by. */
export function noiseOf(state: RoundState): Pick<RoundNoise, 'update' | 'bit' | 'denominator' | 'tree'> {
  const { privacy } = state.rules;
  if (privacy === undefined) throw new AegisError('INTERNAL', 'Noise was asked for where nothing is private.');
  const { tree } = privacy;
  return {
    ...splitNoise(privacy),
    denominator: denominatorOf(state),
    ...(tree && { tree: { tree: tree.tree, leaf: tree.leaf } }),
  };
}

/** Fixed when the cohort was drawn, whoever answers. */
export const denominatorOf = (state: RoundState): number =>
  state.rules.privacy?.denominator ?? Math.max(state.members.size, 1);

const runBalance = ({ balances }: Reservation): Balance | undefined => balances.find(({ scope }) => scope === 'run');
