import type { AddCommand } from '../context.ts';
import { collect } from '../parse.ts';
import { ensureGatewayCertificate } from '../pki.ts';
import { prepareStateDirectory, stateDirectory, stateRoot } from '../state-directory.ts';

interface Options {
  state?: string;
  san?: string[];
  renew?: boolean;
}

export const addCerts: AddCommand = (program, context) =>
  program
    .command('certs')
    .description('write the development PKI, or renew the certificate of the gateway')
    .option('--state <dir>', 'state directory (default: $AEGIS_HOME or .aegis)')
    .option('--san <host>', 'a further name or address of the gateway; may be repeated', collect)
    .option('--renew', 'issue a new certificate even if the old one is still good')
    .action(async (options: Options) => {
      const { terminal, env } = context();
      const state = stateDirectory(stateRoot(options.state, env));
      await prepareStateDirectory(state);
      const request = { san: options.san ?? [], renew: options.renew ?? false, now: Date.now() };
      const { ca, cert, key, hosts, validTo, issued } = await ensureGatewayCertificate(state.pki, request);
      terminal.result({ ca, cert, key, hosts, validTo: validTo.toISOString(), issued });
      terminal.line(issued ? 'The gateway has a new certificate.' : 'The certificate of the gateway is good as it is.');
      terminal.line(`  authority    ${ca}`);
      terminal.line(`  certificate  ${cert}`);
      terminal.line(`  names        ${hosts.join(', ')}`);
      terminal.line(`  until        ${validTo.toISOString().slice(0, 10)}`);
      if (issued) terminal.line('A running suite takes it within seconds.');
    });
