import type { Slice } from '../../../domain/run.ts';
import { FileOfParts } from '../../../flows/file-of-parts.ts';
import type { Gateway } from '../../../flows/gateway.ts';
import type { Unfold } from '../../node/update-intake.ts';
import { npzArrays } from './unfold-npz.ts';
import { safetensorsArrays } from './unfold-safetensors.ts';

/** One file that holds all arrays of an answer. */
export interface ArrayFile {
  readonly format: 'npz' | 'safetensors';
  readonly slices: readonly Slice[];
}

/** Finds the arrays of the file once its parts are all here. REPLY_MALFORMED, with what is wrong, for what is no such file. */
export const unfolding =
  (gateway: Gateway, { format, slices }: ArrayFile): Unfold =>
  (task) => {
    const file = new FileOfParts(gateway, task, slices);
    return format === 'npz' ? npzArrays(file) : safetensorsArrays(file);
  };
