/**
 * The typed face of the Aegis core.
 *
 * Every promise runs off the event loop and every rejection is a {@link CoreError}. Bytes handed in are referenced, not
 * copied: leave them unchanged until the promise settles.
 */

import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';

export type { CoreErrorCode } from './core-error.ts';
export { CoreError } from './core-error.ts';
export { Fold, type UpdateFacts } from './fold.ts';
export { IntakeLog, type LogEntry } from './intake-log.ts';
export { LocalNoise, type NoisedUpdate, type TrainedTensor } from './local-noise.ts';
export { type ImportLimits, ModelFile, type ModelInfo, type ModelTensor } from './model-file.ts';
export * from './privacy-accounting.ts';
export * from './privacy-filter.ts';
export { type AddedPrivately, type Noised, type PrivateFinish, PrivateFold } from './privacy-mechanisms.ts';
export { DataKey, KeyFile, openFile, sealFile } from './sealing.ts';
export { resetOnClose } from './sockets.ts';
export {
  type NpyHeader,
  npyElements,
  npyValueRange,
  type PartSlice,
  readNpyHeader,
  type TensorSource,
  type TensorSpec,
} from './tensors.ts';

// ---- hashing, signatures

export function sha256Hex(pieces: Uint8Array[]): Promise<string> {
  return awaiting(() => binding.sha256Hex(pieces));
}

/** For small inputs: about 1 ms a megabyte on the event loop. */
export function sha256HexSync(pieces: Uint8Array[]): string {
  return calling(() => binding.sha256HexSync(pieces));
}

/**
 * ECDSA with SHA-256 over P-256, P-384 or P-521 (the curve is the key's), DER signature. False is a wrong signature;
 * SIGNATURE_KEY is an unusable key.
 */
export function verifyEcdsa(publicKeyPem: Uint8Array, message: Uint8Array, signatureDer: Uint8Array): Promise<boolean> {
  return awaiting(() => binding.verifyEcdsa(publicKeyPem, message, signatureDer));
}

/** Like {@link verifyEcdsa}, on the event loop: 0.1 to 0.3 ms for P-384. */
export function verifyEcdsaSync(publicKeyPem: Uint8Array, message: Uint8Array, signatureDer: Uint8Array): boolean {
  return calling(() => binding.verifyEcdsaSync(publicKeyPem, message, signatureDer));
}
