import { Grid, type GridOptions } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import type { Masking } from '../domain/masking.ts';
import type { Task } from '../domain/task.ts';

/**
 * How this task's values become integers. SECAGG_REFUSED where terms and model do not fit together, or a sum could wrap; the core says
 * what makes no sense in itself.
 */
export const gridOf = ({ kind, model }: Task, masking: Masking): Grid => {
  const tensors = kind === 'train' ? (model?.tensors ?? []) : [];
  const grid = Grid.create(
    tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })),
    gridOptions(masking),
  );
  if (grid.length !== masking.length) {
    throw terms(`the vector has ${grid.length} elements, the terms say ${masking.length}`);
  }
  const { bits } = grid.modulus(masking.cohort);
  if (bits > masking.bits) {
    throw terms(`sums of ${masking.cohort} nodes need ${bits} bits, not ${masking.bits}`);
  }
  return grid;
};

/** The grid of the terms as the core takes it. */
export const gridOptions = ({ grid }: Masking): GridOptions => {
  const { clip, ownClips, metrics, valueBits, weightMax, normClip, noiseSigma } = grid;
  return {
    ...{ clip, ownClips: { ...ownClips }, metrics: [...metrics], valueBits, weightMax },
    ...(normClip !== null && { normClip }),
    ...(noiseSigma !== null && { noiseSigma }),
  };
};

const terms = (detail: string): AegisError => new AegisError('SECAGG_REFUSED', `TERMS_DIFFER: ${detail}`);
