// The lines that `flwr log` shows.
import { hidesCohort, type ReleasedRound } from './private-round.ts';
import { countOf, type Member, type RoundState } from './round.ts';
import type { ConfigEntry, Scalar } from './scalar.ts';

/** "round 2/6, train" */
export const phaseName = ({ kind, round, rounds }: Pick<RoundState, 'kind' | 'round' | 'rounds'>): string =>
  kind === 'initial-model' ? 'initial model' : `round ${round}/${rounds}, ${kind}`;

/** Why nodes did not answer, the first three reasons with how often. */
export function reasonsOf(members: Iterable<Member>): string {
  const reasons = new Map<string, number>();
  for (const { state, reason } of members) {
    if (state === 'accepted' || reason === '') continue;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  const shown = [...reasons].slice(0, 3).map(([reason, count]) => (count > 1 ? `${count} × ${reason}` : reason));
  return shown.join('; ') || 'no reason given';
}

/** "round 2/6: train 5 nodes, 4 accepted, 1 dropped (node 17: the node went offline), 12.3 s; loss 0.41" */
export function phaseLine(state: RoundState, metrics: readonly ConfigEntry[], seconds: number): string {
  const where =
    state.kind === 'initial-model' ? 'initial model:' : `round ${state.round}/${state.rounds}: ${state.kind}`;
  const time = `${seconds.toFixed(1)} s`;
  if (hidesCohort(state.rules.privacy)) return `${where} by a secret cohort, ${time}`;
  const counts = [
    `${state.members.size} ${state.members.size === 1 ? 'node' : 'nodes'}`,
    `${countOf(state, 'accepted')} accepted`,
  ];
  const others = [...state.members.values()].filter((member) => member.state !== 'accepted');
  for (const kind of ['refused', 'failed', 'dropped'] as const) {
    const those = others.filter((member) => member.state === kind);
    if (those.length > 0)
      counts.push(
        `${those.length} ${kind} (${those.slice(0, 3).map(named).join('; ')}${those.length > 3 ? '; …' : ''})`,
      );
  }
  const shown = metrics.slice(0, 8).map(({ key, value }) => `${key} ${short(value)}`);
  return `${where} ${counts.join(', ')}, ${time}${shown.length > 0 ? `; ${shown.join(' ')}` : ''}`;
}

/** "round 2/6: privacy ε 0.41 of the run so far (δ 1e-5), 59 % of its budget left; clip 1, noise multiplier 1.2" */
export function privacyLine(state: RoundState, { epsilon, delta, left, clip, noiseMultiplier }: ReleasedRound): string {
  const share = Math.floor(left * 100);
  return `round ${state.round}/${state.rounds}: privacy ε ${digits(epsilon)} so far (δ ${delta}), ${share} % of the run's budget left; clip ${digits(clip)}, noise multiplier ${digits(noiseMultiplier)}`;
}

const digits = (value: number): string => String(Number(value.toPrecision(4)));

const named = (member: { nodeId: bigint; reason: string }): string =>
  `node ${member.nodeId}: ${member.reason.replace(/\.$/, '')}`;

const short = (value: Scalar): string =>
  value.kind === 'real'
    ? String(Number(value.value.toPrecision(4)))
    : Array.isArray(value.value)
      ? `[${value.value.length} values]`
      : String(value.value);
