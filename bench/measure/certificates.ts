import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDevPki } from '@aegis/service-kit';

export interface Certificates {
  /** PEM of the authority. */
  ca: string;
  caFile: string;
  certFile: string;
  keyFile: string;
}

/** An authority and a server certificate for loopback: of the same kind as those that `aegis up` makes for itself. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const pki = await openDevPki(join(folder, 'pki'));
  const { cert, key } = await pki.issue({ name: 'server', hosts: ['127.0.0.1', 'localhost'] });
  return { ca: await readFile(pki.ca, 'utf8'), caFile: pki.ca, certFile: cert, keyFile: key };
}
