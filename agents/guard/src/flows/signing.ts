import type { SigningKey } from '@aegis/core-native/secagg';

/** What this node signs with, and whose signatures it believes. */
export interface Signing {
  readonly certificatePem: string;
  /** In the core, and never out of it. */
  readonly key: SigningKey;
  /** The key in another node's certificate, checked against the owner's own roots. SECAGG_CERTIFICATE for any other. */
  open(pem: string, now: number): { readonly subject: string; readonly keyPem: string };
}
