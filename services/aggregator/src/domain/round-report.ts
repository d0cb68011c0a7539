// The lines that `flwr log` shows.
import { countOf, type RoundState } from './round.ts';
import type { ConfigEntry, Scalar } from './scalar.ts';

/** "round 2/6: train 5 nodes, 4 accepted, 1 dropped (node 17: the node went offline), 12.3 s; loss 0.41" */
export function phaseLine(state: RoundState, metrics: readonly ConfigEntry[], seconds: number): string {
  const where =
    state.kind === 'initial-model' ? 'initial model:' : `round ${state.round}/${state.rounds}: ${state.kind}`;
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
  return `${where} ${counts.join(', ')}, ${seconds.toFixed(1)} s${shown.length > 0 ? `; ${shown.join(' ')}` : ''}`;
}

const named = (member: { nodeId: bigint; reason: string }): string =>
  `node ${member.nodeId}: ${member.reason.replace(/\.$/, '')}`;

const short = (value: Scalar): string =>
  value.kind === 'real'
    ? String(Number(value.value.toPrecision(4)))
    : Array.isArray(value.value)
      ? `[${value.value.length} values]`
      : String(value.value);
