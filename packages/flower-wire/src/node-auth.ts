// How a node proves who it is: public key, timestamp, and an ECDSA/SHA-256 signature over the timestamp alone, on every
// call. There is no nonce: captured headers work for five minutes, so TLS is what keeps them secret.

import { AegisError } from '@aegis/errors';
import type { Dialect, NodeCredential } from './fleet-contract.ts';

/** Seconds a timestamp may lie in the past or the future (both exclusive), as the reference has it. */
const OLDEST_TIMESTAMP = 305;
const NEWEST_TIMESTAMP = -5;

/** Where a door finds what came with the call. Names are Flower's HTTP names, without "-bin". */
export interface CredentialSource {
  readonly dialect: Dialect;
  readonly connection: object;
  text(name: string): string;
  /** null: absent or not decodable. */
  binary(name: string): Buffer | null;
}

const longestKey = 4096;
const longestSignature = 1024;

/** Takes the credential apart; complete and well-formed, or NODE_UNAUTHENTICATED. */
export function readCredential(source: CredentialSource): NodeCredential {
  const publicKeyPem = source.binary('flwr-public-key');
  const signature = source.binary('flwr-signature');
  const timestamp = source.text('flwr-timestamp');
  if (publicKeyPem === null || publicKeyPem.length === 0) throw missing('public key');
  if (signature === null || signature.length === 0) throw missing('signature');
  if (timestamp === '') throw missing('timestamp');
  if (publicKeyPem.length > longestKey || signature.length > longestSignature || timestamp.length > 64) {
    throw new AegisError('NODE_UNAUTHENTICATED', 'The key, signature or timestamp is too long.');
  }
  return {
    publicKeyPem,
    timestamp,
    signature,
    dialect: source.dialect,
    flwrVersion: source.text('flwr-package-version'),
    connection: source.connection,
    isForwarded: () => proxyMarks.some((name) => source.text(name) !== ''),
  };
}

/** What proxies that read HTTP add to the calls they pass on. Not all of them do. */
const proxyMarks = ['forwarded', 'via', 'x-forwarded-for', 'x-real-ip', 'x-envoy-external-address'] as const;

const missing = (what: string): AegisError =>
  new AegisError('NODE_UNAUTHENTICATED', `The ${what} is missing or not decodable.`);

/** Verifies ECDSA with SHA-256; throws when the key cannot be used. The native core's `verifyEcdsa` fits. */
export type VerifySignature = (
  publicKeyPem: Uint8Array,
  message: Uint8Array,
  signatureDer: Uint8Array,
) => boolean | Promise<boolean>;

/** Timestamp first (cheap), then the signature. Says nothing about whether the key is registered. */
export async function checkCredential(
  credential: NodeCredential,
  nowMs: number,
  verify: VerifySignature,
): Promise<void> {
  checkTimestamp(credential.timestamp, nowMs);
  let good = false;
  try {
    good = await verify(credential.publicKeyPem, Buffer.from(credential.timestamp, 'latin1'), credential.signature);
  } catch (cause) {
    throw new AegisError('NODE_SIGNATURE', 'The public key cannot be used.', cause);
  }
  if (!good) throw new AegisError('NODE_SIGNATURE');
}

/** NODE_TIMESTAMP unless −5 s < age < 305 s. */
export function checkTimestamp(timestamp: string, nowMs: number): void {
  const sent = parseTimestamp(timestamp);
  if (sent === null) throw new AegisError('NODE_TIMESTAMP', 'It is not an ISO 8601 time with a zone.');
  const age = nowMs / 1000 - sent;
  if (!(age > NEWEST_TIMESTAMP && age < OLDEST_TIMESTAMP)) {
    const distance = age < 0 ? `${(-age).toFixed(1)} s ahead of` : `${age.toFixed(1)} s behind`;
    throw new AegisError('NODE_TIMESTAMP', `It is ${distance} this server's clock.`);
  }
}

/** Unix seconds with microseconds; null without a zone or when it is no time. Python writes 6 decimals, or none at all. */
export function parseTimestamp(text: string): number | null {
  const found = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (found === null) return null;
  const whole = Date.parse(`${found[1]}${found[3]}`);
  return Number.isNaN(whole) ? null : whole / 1000 + Number(`0.${found[2] ?? 0}`);
}

/** Unix seconds as Python's isoformat writes them; "" for 0, Flower's word for "not yet". */
export function isoTime(unixSeconds: number): string {
  if (!(unixSeconds > 0)) return '';
  const micros = Math.round(unixSeconds * 1e6);
  const whole = new Date(Math.floor(micros / 1e6) * 1000).toISOString().slice(0, 19);
  const part = micros % 1e6;
  return `${whole}${part === 0 ? '' : `.${String(part).padStart(6, '0')}`}+00:00`;
}
