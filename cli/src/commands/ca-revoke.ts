import { resolve } from 'node:path';
import { openAuthority, revokeFrom } from '../ca/authority.ts';
import type { AddCommand } from '../context.ts';

export const addCaRevoke: AddCommand = (program, context) =>
  program
    .command('revoke')
    .description('take back every certificate of a name, or one by its serial, and write the CRL anew')
    .argument('[name-or-serial]', 'left out: nothing is revoked, and the CRL counts for another year')
    .option('--dir <dir>', 'folder of the authority', 'ca')
    .action(async (which: string | undefined, options: { dir: string }) => {
      const { terminal } = context();
      const now = Date.now();
      const { revoked, crl } = await revokeFrom(await openAuthority(resolve(options.dir), now), which, now);
      terminal.result({ revoked: revoked.map(({ serial, kind, name }) => ({ serial, kind, name })), crl });
      for (const { serial, kind, name } of revoked) terminal.line(`Revoked: ${name} (${kind}, serial ${serial}).`);
      terminal.line(`Give ${crl} to the gateway; a running one takes the new file within seconds.`);
    });
