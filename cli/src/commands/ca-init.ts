import { resolve } from 'node:path';
import { isFederationName } from '@aegis/service-kit';
import { InvalidArgumentError } from 'commander';
import { dayOf, initAuthority } from '../ca/authority.ts';
import type { AddCommand } from '../context.ts';
import { parseWhole } from '../parse.ts';

export const addCaInit: AddCommand = (program, context) =>
  program
    .command('init')
    .description("make a federation's root; do it on a machine that stays offline")
    .option('--dir <dir>', 'folder of the authority', 'ca')
    .option('--federation <name>', 'name of the federation, lower case', parseName, 'aegis')
    .option('--days <n>', 'how long the root is good', parseWhole(1, 36_500), 3653)
    .action(async (options: { dir: string; federation: string; days: number }) => {
      const { terminal } = context();
      const { federation, days } = options;
      const { files, notAfter, subject } = await initAuthority(resolve(options.dir), {
        federation,
        days,
        now: Date.now(),
      });
      terminal.result({
        federation,
        subject,
        root: files.cert,
        key: files.key,
        crl: files.crl,
        until: new Date(notAfter).toISOString(),
      });
      terminal.line(`The root of the federation "${federation}" is made, good until ${dayOf(new Date(notAfter))}.`);
      terminal.line(`  root  ${files.cert}   give it to everybody`);
      terminal.line(
        `  key   ${files.key}   keep it offline, with a copy in a second place; whoever has it can be any node`,
      );
      terminal.line(`  CRL   ${files.crl}   give it to the gateway`);
      terminal.line('Next: aegis ca issue hospital-a --kind guard');
    });

export function parseName(text: string): string {
  if (isFederationName(text)) return text;
  throw new InvalidArgumentError(
    'A name has 1 to 63 of a-z, 0-9, dot and hyphen, and neither begins nor ends with the latter two.',
  );
}
