import type { RunEvent } from '@aegis/contracts/aegis/aggregator/v1/aggregator';

/** Whether training of this round is under way: its nodes are chosen, and not all of them have answered. */
export const isTraining = ({ run, nodes }: RunEvent, round: number): boolean =>
  run !== undefined &&
  run.round === round - 1 &&
  (run.history.at(-1)?.round ?? 0) < round &&
  nodes.some(({ state }) => state === 'waiting');
