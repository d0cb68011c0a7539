import { Grid } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import type { Masking } from '../domain/masking.ts';
import type { Task } from '../domain/task.ts';

/**
 * How this task's values become integers. SECAGG_REFUSED where terms and model do not fit together, or a sum could wrap; the core says
 * what makes no sense in itself.
 */
export const gridOf = ({ kind, model }: Task, masking: Masking): Grid => {
  const { clip, ownClips, metrics, valueBits, weightMax, normClip } = masking.grid;
  const tensors = kind === 'train' ? (model?.tensors ?? []) : [];
  const grid = Grid.create(
    tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })),
    {
      ...{ clip, ownClips: { ...ownClips }, metrics: [...metrics], valueBits, weightMax },
      ...(normClip !== null && { normClip }),
    },
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

const terms = (detail: string): AegisError => new AegisError('SECAGG_REFUSED', `TERMS_DIFFER: ${detail}`);
