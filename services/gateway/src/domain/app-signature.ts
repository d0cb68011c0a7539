import { AegisError } from '@aegis/errors';

/** A signature as Flower clients read it. Whether it holds is for those who trust the key: this server is not asked to. */
export const checkAppSignature = (appHash: string, keyId: string, verification: string): void => {
  if (!/^[0-9a-f]{64}$/.test(appHash)) throw malformed('The hash of the app is no SHA-256 in hex.');
  if (!/^[\x21-\x7e]{1,200}$/.test(keyId) || keyId === 'valid_license') throw malformed('The key id is not usable.');
  if (verification.length > 2_000 || !isSignature(verification))
    throw malformed('It is not {"signed_at": …, "signature": …}.');
};

const isSignature = (text: string): boolean => {
  try {
    const { signed_at: signedAt, signature } = JSON.parse(text);
    return Number.isSafeInteger(signedAt) && typeof signature === 'string';
  } catch {
    return false;
  }
};

const malformed = (detail: string): AegisError => new AegisError('REQUEST_MALFORMED', detail);
