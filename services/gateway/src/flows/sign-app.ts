import { checkAppSignature } from '../domain/app-signature.ts';
import type { Gateway } from './gateway.ts';

/** Keeps somebody's signature of an app bundle, to be handed to nodes with the bundle. */
export const signApp = async (
  gateway: Gateway,
  { appHash, keyId, verification }: { appHash: string; keyId: string; verification: string },
): Promise<void> => {
  checkAppSignature(appHash, keyId, verification);
  await gateway.appSignatures.add(appHash, keyId, verification);
  gateway.log.info({ appHash, keyId }, 'app signature kept');
};
