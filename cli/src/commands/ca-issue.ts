import { access, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type CertificateKind, writeFileAtomic } from '@aegis/service-kit';
import { Argument, Option } from 'commander';
import { dayOf, issueFrom, openAuthority } from '../ca/authority.ts';
import { CommandError } from '../command-error.ts';
import type { AddCommand } from '../context.ts';
import { ExitCode } from '../exit-codes.ts';
import { collect, parseWhole } from '../parse.ts';
import { parseName } from './ca-init.ts';

interface Options {
  dir: string;
  kind: CertificateKind;
  san?: string[];
  user?: string;
  days?: number;
  out: string;
  renew?: boolean;
}

/** Short enough that a stolen key is a matter of months, long enough that nobody renews by hand every week. */
const daysOf: Record<CertificateKind, number> = { node: 90, guard: 90, service: 90, signing: 365 };

export const addCaIssue: AddCommand = (program, context) =>
  program
    .command('issue')
    .description('issue a certificate and its key: for a node, a guard, a service, or a key that signs')
    .addArgument(new Argument('<name>', 'unique in the federation: one name is one node').argParser(parseName))
    .addOption(
      new Option('--kind <kind>', 'what it is for')
        .choices(['node', 'guard', 'service', 'signing'])
        .makeOptionMandatory(),
    )
    .option('--dir <dir>', 'folder of the authority', 'ca')
    .option('--san <host>', 'DNS name or IP address of a service; may be repeated', collect)
    .addOption(
      new Option('--user <name>', 'of a node or guard: whose it is, where one user has several').argParser(parseName),
    )
    .option('--days <n>', 'how long it is good (default: 90; signing: 365)', parseWhole(1, 3653))
    .option('--out <dir>', 'where the certificate and the key go', '.')
    .option('--renew', 'follow a certificate that is still good; a key found in --out is certified again')
    .action(async (name: string, options: Options) => {
      const { terminal } = context();
      const { kind } = options;
      const hosts = options.san ?? [];
      if ((kind === 'service') !== hosts.length > 0) {
        throw new CommandError(
          'USAGE',
          kind === 'service'
            ? 'A service needs the names it is reached by.'
            : `A ${kind} certificate has no --san: nobody connects to it.`,
          { todo: kind === 'service' ? 'Add --san HOST for each.' : 'Leave --san out.', exitCode: ExitCode.usage },
        );
      }
      if (options.user !== undefined && kind !== 'node' && kind !== 'guard') {
        throw new CommandError('USAGE', `A ${kind} certificate has no --user: it is no node.`, {
          ...{ todo: 'Leave --user out.', exitCode: ExitCode.usage },
        });
      }
      const now = Date.now();
      const authority = await openAuthority(resolve(options.dir), now);
      const stem = join(resolve(options.out), kind === 'signing' ? `${name}.signing` : name);
      const files = { cert: `${stem}.pem`, key: `${stem}.key` };
      const keyPem = await keyThere(files.key, options.renew ?? false);
      const certificate = await issueFrom(authority, {
        ...{ kind, name, hosts, now, renew: options.renew ?? false, days: options.days ?? daysOf[kind] },
        ...(keyPem !== undefined && { keyPem }),
        ...(options.user !== undefined && { user: options.user }),
      });
      if (keyPem === undefined) await writeFileAtomic(files.key, certificate.keyPem, 0o600);
      await writeFileAtomic(files.cert, certificate.certPem);
      const until = new Date(certificate.notAfter);
      const { serial, subject } = certificate;
      terminal.result({
        kind,
        name,
        subject,
        serial,
        hosts,
        ...(options.user !== undefined && { user: options.user }),
        ...files,
        until: until.toISOString(),
        sameKey: keyPem !== undefined,
      });
      terminal.line(`${subject}: a ${kind} certificate, good until ${dayOf(until)}.`);
      terminal.line(`  certificate  ${files.cert}`);
      terminal.line(`  key          ${files.key}${keyPem === undefined ? '' : ' (as it was)'}`);
      terminal.line(`  serial       ${serial}`);
      terminal.line('Hand both over by a way you trust; delete the key here once it has arrived.');
    });

/** The key of a certificate that is being renewed. A key is never written over. */
export const keyThere = async (file: string, renew: boolean): Promise<string | undefined> => {
  const there = await access(file).then(
    () => true,
    () => false,
  );
  if (!there) return undefined;
  if (!renew) {
    throw new CommandError('KEY_EXISTS', `${file} is there already, and keys are not written over.`, {
      todo: 'Choose another --out, or --renew to certify this key again.',
    });
  }
  if (((await stat(file)).mode & 0o077) !== 0) {
    throw new CommandError('CA_KEY_OPEN', `${file} is open to other users of this machine.`, {
      todo: `Type: chmod 600 ${file} — or move it away and get a new key.`,
    });
  }
  return readFile(file, 'utf8');
};
