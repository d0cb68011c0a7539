// The one error class of the core, rebuilt from what the native side throws.

export type CoreErrorCode =
  | 'NPY_MALFORMED'
  | 'NPY_OBJECT_DTYPE'
  | 'NPY_UNSUPPORTED_DTYPE'
  | 'NPY_SIZE_MISMATCH'
  | 'TENSOR_TOO_LARGE'
  | 'NPZ_MALFORMED'
  | 'SAFETENSORS_MALFORMED'
  | 'TENSOR_MISSING'
  | 'TENSOR_UNEXPECTED'
  | 'TENSOR_DUPLICATE'
  | 'TENSOR_SHAPE'
  | 'TENSOR_DTYPE'
  | 'VALUE_NOT_FINITE'
  | 'NORM_EXCEEDED'
  | 'WEIGHT_INVALID'
  | 'TOO_MANY_UPDATES'
  | 'NOTHING_FOLDED'
  | 'HASH_MISMATCH'
  | 'PART_UNKNOWN'
  | 'SLICE_OUT_OF_RANGE'
  | 'LOG_CORRUPT'
  | 'LOG_LOCKED'
  | 'LOG_CLOSED'
  | 'SEAL_BROKEN'
  | 'KEY_FILE'
  | 'DISK_FULL'
  | 'IO'
  | 'SIGNATURE_KEY'
  | 'ARGUMENT'
  | 'PANIC'
  | 'LOG_FENCED'
  | 'SECAGG_REFUSED'
  | 'SECAGG_PARAMETERS'
  | 'SECAGG_SHARES'
  | 'SECAGG_SUM'
  | 'SECAGG_MALFORMED'
  | 'PRIVACY_EVENT'
  | 'PRIVACY_PARAMETER'
  | 'PRIVACY_UNBOUNDED'
  | 'PRIVACY_UNREACHABLE'
  | 'TENSOR_NOT_NOISED'
  | 'NOISE_SECRET_LOST'
  | 'NOISE_USED';

/** A failure of the core. Branch on `code`; `detail` names the facts, e.g. `{ tensor: "w", expected: "(3,)", got: "(4,)" }`. */
export class CoreError extends Error {
  override readonly name = 'CoreError';
  readonly code: CoreErrorCode;
  readonly detail: Record<string, string>;

  constructor(code: CoreErrorCode, message: string, detail: Record<string, string> = {}, cause?: unknown) {
    super(`${code}: ${message}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.detail = detail;
  }
}

/** Calls the native side where it answers at once. */
export function calling<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw toCoreError(error);
  }
}

/** Calls the native side where it answers by promise; also a wrong argument then rejects rather than throws. */
export async function awaiting<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toCoreError(error);
  }
}

/** The binding's own status when an argument has the wrong JavaScript type. */
const ARGUMENT_STATUS = /^(InvalidArg|.*Expected|InvalidArgument)$/;

function toCoreError(error: unknown): CoreError {
  if (error instanceof CoreError) return error;
  if (!(error instanceof Error)) return new CoreError('PANIC', 'the core threw something that is no error', {}, error);
  const told = parseTold(error.message);
  if (told !== undefined) return new CoreError(told.code, told.message, told.detail);
  const status = (error as { code?: unknown }).code;
  const argument = error instanceof TypeError || (typeof status === 'string' && ARGUMENT_STATUS.test(status));
  return argument
    ? new CoreError('ARGUMENT', 'an argument has the wrong type', { reason: error.message }, error)
    : new CoreError('PANIC', 'the core panicked; this is a bug', { panic: error.message }, error);
}

function parseTold(
  message: string,
): { code: CoreErrorCode; message: string; detail: Record<string, string> } | undefined {
  if (!message.startsWith('{')) return undefined;
  try {
    const told = JSON.parse(message);
    return typeof told.code === 'string' && typeof told.detail === 'object' ? told : undefined;
  } catch {
    return undefined;
  }
}
