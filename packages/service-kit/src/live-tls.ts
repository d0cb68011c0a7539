import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { type Clock, systemClock } from './clock.ts';
import { lookAgain } from './look-again.ts';
import { readTls, type TlsFiles, type TlsMaterial } from './tls-material.ts';

/** Certificates are renewed weeks before they end; nobody waits for the new one. */
const LOOK_EVERY_MS = 10_000;

/** Certificate, key and authorities that may be replaced while they are in use. */
export interface LiveTls {
  readonly now: TlsMaterial;
  /** Called after every replacement. */
  onChange(listener: () => void): void;
  close(): void;
}

/** CONFIG_INVALID when a file cannot be read now. What is not a working set later, half-written say, is passed over: what was there goes on. */
export const liveTls = (
  tls: TlsMaterial | TlsFiles | LiveTls,
  { clock = systemClock, everyMs = LOOK_EVERY_MS }: { clock?: Clock; everyMs?: number } = {},
): LiveTls => {
  if ('now' in tls) return tls;
  if (!isFiles(tls)) return { now: tls, onChange: () => {}, close: () => {} };
  let now = readTls(tls);
  const listeners: (() => void)[] = [];
  const look = async (): Promise<void> => {
    try {
      const [ca, cert, key] = await Promise.all([readFile(tls.ca), readFile(tls.cert), readFile(tls.key)]);
      if (ca.equals(now.ca) && cert.equals(now.cert) && key.equals(now.key)) return;
      createSecureContext({ ca, cert, key });
      if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return;
      now = { ca, cert, key };
    } catch {
      return; // being written, or broken; aegis_certificate… tells when the one in use ends
    }
    for (const listener of listeners) listener();
  };
  const close = lookAgain(clock, everyMs, look);
  return {
    get now() {
      return now;
    },
    onChange: (listener) => void listeners.push(listener),
    close,
  };
};

const isFiles = (tls: TlsMaterial | TlsFiles): tls is TlsFiles => typeof tls.ca === 'string';
