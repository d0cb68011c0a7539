import { filterAllowance, filterDivergence, filterEpsilon, filterOrder, type PrivacyEvent } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { Masking } from '../domain/masking.ts';
import { honestIn } from '../domain/masking-policy.ts';
import type { Policy } from '../domain/policy.ts';
import type { Task } from '../domain/task.ts';
import type { Journal } from '../store/contract.ts';
import type { Guard } from './guard.ts';
import { gridOf } from './masked-grid.ts';

// What noised sums cost this node, whatever the server counts: each is an event with the noise of the fewest honest nodes in it, as the
// owner sees them, and the events of a lifetime are added up under a Rényi filter (see privacy/accounting/filter.rs in the core).

/**
 * The privacy event of the task's sum; null: it has no noise. TERMS_DIFFER for terms that do not fit the model; NOISE_BELOW_FLOOR where the
 * least noise that a sum of these terms may have, over what this node can change in it, is less than the owner asks for.
 */
export const judgeNoise = (
  { leastNoise, noiseBudget, floors }: Policy,
  task: Task,
  masking: Masking,
): string | null => {
  const grid = gridOf(task, masking);
  if (task.kind !== 'train') return null;
  const honest = honestIn(masking, floors);
  const noise = honest === 0 || masking.grid.noiseSigma === null ? null : grid.noise(honest);
  const multiplier = noise?.noise_multiplier ?? 0;
  if (multiplier < leastNoise || (noise === null && noiseBudget !== null)) {
    throw new AegisError(
      'SECAGG_REFUSED',
      `NOISE_BELOW_FLOOR: ${honest} nodes make a noise multiplier of ${Number(multiplier.toPrecision(6))}, the floor is ${leastNoise}`,
    );
  }
  if (noise === null) return null;
  const event: PrivacyEvent = {
    mechanism: 'distributed-discrete-gaussian',
    'noise-multiplier': multiplier,
    parties: noise.parties,
    'local-grid-sigma': noise.local_sigma,
    dimension: noise.dimension,
    'grid-l1': noise.l1,
    sampling: { kind: 'none' },
    relation: 'zero-out',
    unit: 'node',
  };
  return JSON.stringify(event);
};

/** NOISE_BUDGET_SPENT where one event more would cost more than the owner allows. */
export const judgeBudget = ({ policy, journal }: Guard, charge: string | null): void => {
  const { noiseBudget } = policy;
  if (noiseBudget === null || charge === null) return;
  // Fixed before the first event is charged against it, and kept when the owner edits the budget.
  const order = journal.fixNoiseOrder(filterOrder(noiseBudget));
  const { sums, divergence } = spentOn(journal, order);
  const after = divergence + divergenceOf(charge, order);
  if (after <= filterAllowance(order, noiseBudget)) return;
  const { epsilon, delta } = noiseBudget;
  throw new AegisError(
    'SECAGG_REFUSED',
    `NOISE_BUDGET_SPENT: ${sums} noised sums cost epsilon ${shown(order, divergence, delta)}, one more ${shown(order, after, delta)}; the owner allows ${epsilon} at delta ${delta}`,
  );
};

/** What the noised sums have cost so far, for the owner: in sums, and as ε at the budget's δ (null: no budget). */
export const noiseSpent = (
  journal: Pick<Journal, 'noiseCharges' | 'noiseOrder'>,
  { noiseBudget }: Pick<Policy, 'noiseBudget'>,
): { readonly sums: number; readonly epsilon: number } | null => {
  if (noiseBudget === null) return null;
  const order = journal.noiseOrder() ?? filterOrder(noiseBudget);
  const { sums, divergence } = spentOn(journal, order);
  return { sums, epsilon: sums === 0 ? 0 : filterEpsilon(order, divergence, noiseBudget.delta) };
};

const spentOn = (journal: Pick<Journal, 'noiseCharges'>, order: number): { sums: number; divergence: number } => {
  let [sums, divergence] = [0, 0];
  for (const { event, count } of journal.noiseCharges()) {
    sums += count;
    divergence += count * divergenceOf(event, order);
  }
  // up: each addition may have lost half of the last of 53 bits
  return { sums, divergence: divergence * (1 + 1e-12) };
};

const divergenceOf = (event: string, order: number): number =>
  filterDivergence(JSON.parse(event) as PrivacyEvent, order);

const shown = (order: number, divergence: number, delta: number): number =>
  Number(filterEpsilon(order, divergence, delta).toPrecision(4));
