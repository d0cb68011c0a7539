import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { openDevPki, type TlsFiles } from '@aegis/service-kit';

const renewBeforeDays = 30;
const dayMs = 86_400_000;

export interface GatewayCertificate extends TlsFiles {
  readonly hosts: string[];
  readonly validTo: Date;
  /** Whether this call wrote it. */
  readonly issued: boolean;
}

export interface PkiRequest {
  /** Names and addresses wanted beyond this machine's own. */
  readonly san: readonly string[];
  /** Issue a new leaf even if the old one is fine. */
  readonly renew?: boolean;
  readonly now: number;
}

/**
 * The development PKI of a state directory. The authority is created once and kept; the gateway's certificate is issued
 * again when it ends within a month or lacks a name. Names that it had once, it keeps.
 */
export async function ensureGatewayCertificate(folder: string, request: PkiRequest): Promise<GatewayCertificate> {
  const hosts = ['localhost', '127.0.0.1', '::1', hostname(), ...request.san];
  return ensureCertificate(folder, 'gateway', { hosts, now: request.now, renew: request.renew });
}

/** The same for `<name>.pem` and `<name>.key`, and for these names and addresses alone. */
export async function ensureCertificate(
  folder: string,
  name: string,
  request: { readonly hosts: readonly string[]; readonly renew?: boolean | undefined; readonly now: number },
): Promise<GatewayCertificate> {
  const pki = await openDevPki(folder);
  const files = { ca: pki.ca, cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  const old = await readLeaf(files.cert, pki.ca);
  const hosts = [...new Set([...request.hosts, ...(old?.hosts ?? [])])];
  const fine =
    old !== undefined &&
    hosts.every((host) => old.hosts.includes(host)) &&
    old.validTo.getTime() - request.now > renewBeforeDays * dayMs;
  if (fine && request.renew !== true) return { ...files, hosts, validTo: old.validTo, issued: false };
  await pki.issue({ name, hosts });
  const leaf = new X509Certificate(await readFile(files.cert));
  return { ...files, hosts, validTo: leaf.validToDate, issued: true };
}

/** undefined when there is none, or it is not of this authority. */
async function readLeaf(file: string, ca: string): Promise<{ hosts: string[]; validTo: Date } | undefined> {
  const content = await readFile(file).catch(() => undefined);
  if (content === undefined) return undefined;
  const leaf = new X509Certificate(content);
  if (!leaf.verify(new X509Certificate(await readFile(ca)).publicKey)) return undefined;
  const hosts = (leaf.subjectAltName ?? '')
    .split(', ')
    .map((entry) => entry.replace(/^(DNS|IP Address):/, ''))
    .map((host) => (host === '0:0:0:0:0:0:0:1' ? '::1' : host));
  return { hosts, validTo: leaf.validToDate };
}
