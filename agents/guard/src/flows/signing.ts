import type { SigningKey } from '@aegis/core-native/secagg';
import type { Clock, Logger } from '@aegis/service-kit';

/** What this node signs with, and whose signatures it believes. */
export interface Signing {
  readonly certificatePem: string;
  /** In the core, and never out of it. */
  readonly key: SigningKey;
  /** The key in another node's certificate, checked against the owner's own roots. SECAGG_CERTIFICATE for any other. */
  open(pem: string, now: number): { readonly subject: string; readonly keyPem: string };
  /** Looks for other revocations from time to time; absent: there are none to look for. Returns the way to stop. */
  watch?(clock: Clock, log: Logger): () => void;
}
