import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { access, appendFile, mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type CertificateKind,
  createCrl,
  createIssuer,
  createRoot,
  type FederationCertificate,
  type IssuedCertificate,
  issueCertificate,
  writeFileAtomic,
} from '@aegis/service-kit';
import { CommandError } from '../command-error.ts';

// A federation's authority is a folder: root.pem and root.key, what was issued (issued.jsonl, one line each), and crl.pem, which
// the gateway reads. Only the root's certificate and the CRL ever leave it.

/** How long a CRL counts. A gateway that reads none newer refuses everybody after that. */
export const CRL_DAYS = 366;

export interface IssueRecord {
  readonly serial: string;
  readonly kind: CertificateKind | 'issuer';
  readonly name: string;
  readonly subject: string;
  readonly user?: string;
  readonly issuedAt: string;
  readonly expiresAt: string;
  readonly revokedAt?: string;
}

export interface Authority {
  readonly folder: string;
  readonly root: IssuedCertificate;
  readonly federation: string;
}

const filesOf = (folder: string) => ({
  cert: join(folder, 'root.pem'),
  key: join(folder, 'root.key'),
  issued: join(folder, 'issued.jsonl'),
  crl: join(folder, 'crl.pem'),
});

/** Makes the root. A folder that holds one already is left alone: a second root would orphan every certificate of the first. */
export const initAuthority = async (
  folder: string,
  { federation, days, now }: { federation: string; days: number; now: number },
): Promise<FederationCertificate & { readonly files: ReturnType<typeof filesOf> }> => {
  const files = filesOf(folder);
  for (const file of [files.cert, files.key]) {
    if (await exists(file)) {
      throw new CommandError('CA_EXISTS', `${folder} holds an authority already.`, {
        todo: 'Issue from it with `aegis ca issue`, or choose another folder: a new root makes every certificate of the old one worthless.',
      });
    }
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const root = await createRoot(federation, days, now);
  await writeFileAtomic(files.key, root.keyPem, 0o600);
  await writeFileAtomic(files.crl, await createCrl(root, [], CRL_DAYS, now));
  await writeFileAtomic(files.cert, root.certPem);
  return { ...root, files };
};

/** Opens the folder. Throws what to do when it holds no authority, or one whose key others may read. */
export const openAuthority = async (folder: string, now: number): Promise<Authority> => {
  const files = filesOf(folder);
  if (!(await exists(files.cert)) || !(await exists(files.key))) {
    throw new CommandError('CA_NOT_FOUND', `${folder} holds no authority (root.pem and root.key).`, {
      todo: 'Make one with `aegis ca init --dir DIR`, or name the folder of the federation with --dir DIR.',
    });
  }
  if (((await stat(files.key)).mode & 0o077) !== 0) {
    throw new CommandError('CA_KEY_OPEN', `${files.key} is open to other users of this machine.`, {
      todo: `Type: chmod 600 ${files.key} — and ask who could have read it so far.`,
    });
  }
  const root = { certPem: await readFile(files.cert, 'utf8'), keyPem: await readFile(files.key, 'utf8') };
  const certificate = certificateOf(root, files.cert);
  if (certificate.validToDate.getTime() <= now) {
    throw new CommandError('CA_EXPIRED', `The root in ${folder} expired on ${dayOf(certificate.validToDate)}.`, {
      todo: 'A federation needs a new root now: `aegis ca init --dir NEW`, then new certificates for everybody.',
    });
  }
  return { folder, root, federation: /^O=(.*)$/m.exec(certificate.subject)?.[1] ?? '' };
};

export interface Issue {
  readonly kind: CertificateKind;
  readonly name: string;
  readonly hosts: readonly string[];
  /** Whose node it is; not given: as in the certificate that is renewed. */
  readonly user?: string;
  readonly days: number;
  /** Key to certify again. */
  readonly keyPem?: string;
  /** A live certificate of this kind and name may be followed by another. */
  readonly renew: boolean;
  readonly now: number;
}

/** Issues and writes down what was issued, in that order reversed: no certificate exists that the authority does not know of. */
export const issueFrom = async (authority: Authority, issue: Issue): Promise<FederationCertificate> => {
  const { kind, name, now } = issue;
  const before = (await issuedBy(authority)).filter((one) => one.kind === kind && one.name === name);
  const live = before.find((one) => one.revokedAt === undefined && Date.parse(one.expiresAt) > now);
  if (live && !issue.renew) {
    throw new CommandError(
      'CA_NAME_TAKEN',
      `${name} has a ${kind} certificate until ${live.expiresAt.slice(0, 10)} (serial ${live.serial}).`,
      { todo: 'To renew it for the same party: --renew. Another party needs another name: one name is one node.' },
    );
  }
  const user = issue.user ?? (issue.renew ? before.at(-1)?.user : undefined);
  const certificate = await issueCertificate(authority.root, { ...issue, ...(user !== undefined && { user }) }, now);
  const record: IssueRecord = {
    serial: certificate.serial,
    kind,
    name,
    subject: certificate.subject,
    ...(user !== undefined && { user }),
    issuedAt: new Date(now).toISOString(),
    expiresAt: new Date(certificate.notAfter).toISOString(),
  };
  await writeDown(authority, record);
  return certificate;
};

/** An authority under the root, for a process that is online. Written down like everything else, and revoked like it. */
export const issuerFrom = async (
  authority: Authority,
  { name, days, now }: { readonly name: string; readonly days: number; readonly now: number },
): Promise<FederationCertificate> => {
  const certificate = await createIssuer(authority.root, { name, days }, now);
  const { serial, subject, notAfter } = certificate;
  const [issuedAt, expiresAt] = [now, notAfter].map((at) => new Date(at).toISOString()) as [string, string];
  await writeDown(authority, { serial, kind: 'issuer', name, subject, issuedAt, expiresAt });
  return certificate;
};

const writeDown = ({ folder }: Authority, record: IssueRecord): Promise<void> =>
  appendFile(filesOf(folder).issued, `${JSON.stringify(record)}\n`, { mode: 0o600, flush: true });

/** Revokes every certificate of a name, or one by its serial (undefined: none), and writes the CRL anew. Returns what was revoked. */
export const revokeFrom = async (
  authority: Authority,
  which: string | undefined,
  now: number,
): Promise<{ revoked: IssueRecord[]; crl: string }> => {
  const files = filesOf(authority.folder);
  const issued = await issuedBy(authority);
  const meant = issued.filter((one) => one.name === which || one.serial === which);
  if (which !== undefined && meant.length === 0) {
    throw new CommandError('CA_UNKNOWN', `No certificate of ${which} was issued here.`, {
      todo: `Give a name or serial of ${files.issued}.`,
    });
  }
  const revokedAt = new Date(now).toISOString();
  const after = issued.map((one) => (meant.includes(one) ? { ...one, revokedAt: one.revokedAt ?? revokedAt } : one));
  await writeFileAtomic(files.issued, after.map((one) => `${JSON.stringify(one)}\n`).join(''), 0o600);
  const revoked = after.flatMap(({ serial, revokedAt: at }) =>
    at === undefined ? [] : [{ serial, at: Date.parse(at) }],
  );
  await writeFileAtomic(files.crl, await createCrl(authority.root, revoked, CRL_DAYS, now));
  return { revoked: meant, crl: files.crl };
};

const issuedBy = async ({ folder }: Authority): Promise<IssueRecord[]> => {
  const { issued } = filesOf(folder);
  const text = (await exists(issued)) ? await readFile(issued, 'utf8') : '';
  try {
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as IssueRecord);
  } catch (cause) {
    throw new CommandError('CA_DAMAGED', `${issued} is damaged.`, {
      todo: 'Restore it from a copy: without it nothing can be revoked by name.',
      cause,
    });
  }
};

const certificateOf = ({ certPem, keyPem }: IssuedCertificate, file: string): X509Certificate => {
  try {
    const certificate = new X509Certificate(certPem);
    if (certificate.publicKey.equals(createPublicKey(createPrivateKey(keyPem)))) return certificate;
  } catch (cause) {
    throw new CommandError('CA_DAMAGED', `${file} or its key is not a PEM file.`, {
      todo: 'Restore both from a copy.',
      cause,
    });
  }
  throw new CommandError('CA_DAMAGED', `root.key is not the key of ${file}.`, { todo: 'Restore both from a copy.' });
};

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );

export const dayOf = (date: Date): string => date.toISOString().slice(0, 10);
