import { join, resolve } from 'node:path';
import { writeFileAtomic } from '@aegis/service-kit';
import { Argument } from 'commander';
import { dayOf, issuerFrom, openAuthority } from '../ca/authority.ts';
import type { AddCommand } from '../context.ts';
import { parseWhole } from '../parse.ts';
import { parseName } from './ca-init.ts';
import { keyThere } from './ca-issue.ts';

export const addCaIssuer: AddCommand = (program, context) =>
  program
    .command('issuer')
    .description('certify a key that may certify guards, for a while, on a machine that is online (aegis issuer)')
    .addArgument(new Argument('<name>', 'of the issuer, in the list of what was issued').argParser(parseName))
    .option('--dir <dir>', 'folder of the authority', 'ca')
    .option('--days <n>', 'how long it is good', parseWhole(1, 366), 90)
    .option('--out <dir>', 'where the certificate and the key go', '.')
    .action(async (name: string, options: { dir: string; days: number; out: string }) => {
      const { terminal } = context();
      const now = Date.now();
      const authority = await openAuthority(resolve(options.dir), now);
      const stem = join(resolve(options.out), `${name}.issuer`);
      const files = { cert: `${stem}.pem`, key: `${stem}.key` };
      await keyThere(files.key, false);
      const { certPem, keyPem, serial, subject, notAfter } = await issuerFrom(authority, {
        name,
        days: options.days,
        now,
      });
      await writeFileAtomic(files.key, keyPem, 0o600);
      await writeFileAtomic(files.cert, certPem);
      const until = new Date(notAfter);
      terminal.result({ kind: 'issuer', name, subject, serial, ...files, until: until.toISOString() });
      terminal.line(`${subject}: it may certify guards of this federation, and nothing else, until ${dayOf(until)}.`);
      terminal.line(`  certificate  ${files.cert}`);
      terminal.line(`  key          ${files.key}`);
      terminal.line('Hand both to the machine that runs `aegis issuer`, by a way you trust; delete the key here then.');
      terminal.line(`Should it be stolen: aegis ca revoke ${name} — everything it certified is refused then.`);
    });
