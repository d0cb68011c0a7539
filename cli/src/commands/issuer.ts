import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createLogger, createTelemetry, openDevPki, readTls, serveGrpc } from '@aegis/service-kit';
import type { AddCommand } from '../context.ts';
import { raised } from '../interruption.ts';
import { collect, parseHours } from '../parse.ts';
import { stateDirectory, stateRoot } from '../state-directory.ts';
import { version } from '../version.ts';

interface Options {
  certificate: string;
  key: string;
  former?: string[];
  listen: string;
  state?: string;
  life: number;
}

export const addIssuer: AddCommand = (program, context) =>
  program
    .command('issuer')
    .description(
      'certify guards that were invited, in a process of its own beside `aegis up --issuer`; stays until Ctrl-C',
    )
    .requiredOption('--certificate <file>', 'certificate of the issuer (aegis ca issuer NAME)')
    .requiredOption('--key <file>', 'its key; only its owner may read it')
    .option(
      '--former <file>',
      'certificate of an issuer it takes the place of, its .key beside it; may be repeated',
      collect,
    )
    .option('--listen <host:port>', 'where the gateway reaches it', '127.0.0.1:9446')
    .option('--state <dir>', 'state directory of the suite it works for (default: $AEGIS_HOME or .aegis)')
    .option('--life <time>', "how long a guard's certificate is good: 24h, 7d", parseHours, 7 * 24)
    .action(async (options: Options) => {
      const { terminal, env, signal } = context();
      const state = stateDirectory(stateRoot(options.state, env));
      const { issuerConfig, startIssuer } = await import('@aegis/issuer');
      await mkdir(state.root, { recursive: true, mode: 0o700 });
      const log = createLogger({ name: 'issuer', destination: join(state.root, 'log', 'issuer.log') });
      const telemetry = createTelemetry({ service: 'issuer', version, env });
      const issuer = startIssuer(
        issuerConfig.parse({
          ...{ certificate: resolve(options.certificate), key: resolve(options.key) },
          former: (options.former ?? []).map((file) => ({ certificate: resolve(file), key: keyBeside(resolve(file)) })),
          ...{ 'state-dir': state.issuer, 'certificate-hours': options.life },
        }),
        { telemetry, log },
      );
      // The development certificates of the suite: the gateway of the same state directory is the only caller.
      const tls = await (await openDevPki(state.pki)).issue({
        name: 'issuer',
        hosts: ['localhost', '127.0.0.1', '::1'],
      });
      const server = await serveGrpc({
        address: options.listen,
        tls: readTls(tls),
        callers: { 'aegis.issuer.v1.Issuer': ['gateway'] },
        services: issuer.services,
        healthy: () => true,
        ...{ log, telemetry },
      });
      const until = new Date(issuer.notAfter).toISOString();
      terminal.result({ ready: true, listen: options.listen, until, state: state.issuer });
      terminal.line(`The issuer is up on ${options.listen}; its own certificate is good until ${until.slice(0, 10)}.`);
      terminal.line(`Start the suite with: aegis up --issuer ${options.listen} …`);
      await raised(signal);
      await server.drain();
      await server.close();
      issuer.close();
      await telemetry.shutdown();
      terminal.line('The issuer is down.');
    });

const keyBeside = (certificate: string): string => certificate.replace(/\.pem$/, '.key');
