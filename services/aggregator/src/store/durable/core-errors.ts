import { CoreError, type CoreErrorCode } from '@aegis/core-native';
import { AegisError, type ErrorCode } from '@aegis/errors';

/** What the core says about a file or a log, in the words of the suite. Anything not listed is a fault of ours. */
const fromCore: Partial<Record<CoreErrorCode, ErrorCode>> = {
  HASH_MISMATCH: 'PART_HASH',
  KEY_FILE: 'CONFIG_INVALID',
  DISK_FULL: 'DISK_FULL',
  IO: 'STORE_UNAVAILABLE',
  LOG_LOCKED: 'UNAVAILABLE',
  LOG_CORRUPT: 'INTAKE_CORRUPT',
  LOG_CLOSED: 'DRAINING',
  LOG_FENCED: 'UNAVAILABLE',
  PART_UNKNOWN: 'PART_NOT_FOUND',
  NPZ_MALFORMED: 'MODEL_MALFORMED',
  SAFETENSORS_MALFORMED: 'MODEL_MALFORMED',
  NPY_MALFORMED: 'MODEL_MALFORMED',
  NPY_OBJECT_DTYPE: 'MODEL_MALFORMED',
  NPY_UNSUPPORTED_DTYPE: 'MODEL_MALFORMED',
  NPY_SIZE_MISMATCH: 'MODEL_MALFORMED',
  TENSOR_TOO_LARGE: 'MODEL_MALFORMED',
  TENSOR_DUPLICATE: 'MODEL_MALFORMED',
  NOISE_SECRET_LOST: 'PRIVACY_NOISE_LOST',
  NOISE_USED: 'PRIVACY_NOISE_USED',
  SECAGG_SUM: 'SECAGG_SUM',
  SECAGG_MALFORMED: 'SECAGG_SUM',
};

/** Refusals of an update; the sender did something wrong, the round goes on. */
const refusals: Partial<Record<CoreErrorCode, ErrorCode>> = {
  NPY_MALFORMED: 'UPDATE_TENSOR_MALFORMED',
  NPY_OBJECT_DTYPE: 'UPDATE_TENSOR_MALFORMED',
  NPY_UNSUPPORTED_DTYPE: 'UPDATE_TENSOR_MALFORMED',
  NPY_SIZE_MISMATCH: 'UPDATE_TENSOR_MALFORMED',
  TENSOR_TOO_LARGE: 'UPDATE_TENSOR_MALFORMED',
  SLICE_OUT_OF_RANGE: 'UPDATE_TENSOR_MALFORMED',
  PART_UNKNOWN: 'PART_NOT_FOUND',
  TENSOR_MISSING: 'UPDATE_TENSORS',
  TENSOR_UNEXPECTED: 'UPDATE_TENSORS',
  TENSOR_DUPLICATE: 'UPDATE_TENSORS',
  TENSOR_SHAPE: 'UPDATE_TENSORS',
  TENSOR_DTYPE: 'UPDATE_TENSORS',
  VALUE_NOT_FINITE: 'UPDATE_NOT_FINITE',
  NORM_EXCEEDED: 'UPDATE_NORM',
  TENSOR_NOT_NOISED: 'UPDATE_TENSORS',
  WEIGHT_INVALID: 'UPDATE_WEIGHT',
  SECAGG_MALFORMED: 'UPDATE_TENSOR_MALFORMED',
};

const fullDisk = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

export async function inCore<T>(work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // ours, from the file system itself
    if (fullDisk.has((error as NodeJS.ErrnoException).code ?? '')) throw new AegisError('DISK_FULL', '', error);
    if (!(error instanceof CoreError)) throw error;
    throw new AegisError(
      fromCore[error.code] ?? 'INTERNAL',
      fromCore[error.code] === undefined ? '' : explain(error),
      error,
    );
  }
}

/** The refusal that an error of Fold.check means; null when it says nothing about the update. */
export function refusalOf(error: unknown): { code: ErrorCode; detail: string } | null {
  const code = error instanceof CoreError ? refusals[error.code] : undefined;
  return code === undefined ? null : { code, detail: explain(error as CoreError) };
}

const explain = (error: CoreError): string => {
  const facts = Object.entries(error.detail).map(([name, value]) => `${name} ${value}`);
  return facts.length > 0 ? `${facts.join(', ')}.` : error.message.replace(/^[A-Z_]+: /, '');
};
