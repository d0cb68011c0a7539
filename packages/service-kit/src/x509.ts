import { webcrypto } from 'node:crypto';

// What every issuer of this suite shares: EC P-256 throughout. (Python's grpcio refuses an all-Ed25519 chain; P-256 works everywhere.)

export interface IssuedCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

export const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export const DAY_MS = 24 * 60 * 60_000;
/** Clocks of laptops and containers run apart a little. */
export const BACKDATED_MS = 5 * 60_000;

/** Positive and never empty, as X.509 wants it. */
export const serialNumber = (): string => {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
};

export const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

export const privatePem = async (key: webcrypto.CryptoKey): Promise<string> => {
  const base64 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${base64.replace(/.{64}(?=.)/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
};

export const importPrivate = (pem: string): Promise<webcrypto.CryptoKey> =>
  webcrypto.subtle.importKey('pkcs8', Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'), algorithm, true, [
    'sign',
  ]);

/** SPKI, DER, EC P-256; rejects any other key. */
export const importPublic = (spki: Uint8Array): Promise<webcrypto.CryptoKey> =>
  webcrypto.subtle.importKey('spki', Buffer.from(spki), algorithm, true, ['verify']);

/** Only few commands issue certificates; the rest need not load the ASN.1 stack. */
export const loadX509 = async () => {
  await import('reflect-metadata');
  return import('@peculiar/x509');
};
