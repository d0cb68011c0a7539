import { resolve } from 'node:path';
import { Option } from 'commander';
import type { AddCommand } from '../context.ts';
import { raised, uncaughtError } from '../interruption.ts';
import { collect, parseHash, parsePort } from '../parse.ts';
import { stateDirectory, stateRoot } from '../state-directory.ts';
import { flwrConfig, supernodeLines } from '../suite/flower-snippets.ts';
import type { CertificateRule, ControlPolicy, Enrolment, SignatureRule, Suite } from '../suite/start-suite.ts';
import type { Terminal } from '../terminal.ts';

interface Options {
  state?: string;
  host: string;
  port: number;
  san?: string[];
  enrolment: Enrolment;
  control: ControlPolicy;
  accounts?: string;
  signatures: SignatureRule;
  join?: boolean;
  clientCertificates: CertificateRule;
  clientCa?: string;
  clientCrl?: string;
  issuer?: string;
  insecure?: boolean;
  acceptLedger?: string;
}

export const addUp: AddCommand = (program, context) =>
  program
    .command('up')
    .description(
      'start the whole suite in this process, with a private nats-server; stays until Ctrl-C or `aegis down`',
    )
    .option('--state <dir>', 'where everything is kept (default: $AEGIS_HOME or .aegis)')
    .option('--host <host>', 'address to listen on', '127.0.0.1')
    .option('--port <port>', 'port to listen on; 0: any free one', parsePort, 9443)
    .option('--san <host>', 'a further name or address in the certificate; may be repeated', collect)
    .addOption(
      new Option('--enrolment <policy>', 'may nodes register themselves?')
        .choices(['open', 'registered'])
        .default('open'),
    )
    .addOption(
      new Option(
        '--control <policy>',
        'who may use the flwr command? loopback: this machine; open: everybody; accounts: who logs in; off: nobody',
      )
        .choices(['loopback', 'open', 'accounts', 'off'])
        .default('loopback'),
    )
    .option('--accounts <file>', 'with --control accounts: the identity provider (YAML, docs/operations.md)')
    .addOption(
      new Option(
        '--signatures <rule>',
        "when is a node's signature verified? per-connection is for nodes that no proxy stands before",
      )
        .choices(['per-call', 'per-connection'])
        .default('per-call'),
    )
    .addOption(
      new Option(
        '--client-certificates <rule>',
        'accept: nodes may show a certificate of --client-ca, and are bound to it; require: they must',
      )
        .choices(['off', 'accept', 'require'])
        .default('off'),
    )
    .option('--client-ca <file>', "the federation's root (aegis ca init)")
    .option('--client-crl <file>', 'what it revoked')
    .option('--issuer <host:port>', 'where `aegis issuer` listens, which certifies guards that were invited')
    .option('--join', "let in Flower's start_client, for runs with aegis.join = true; it shows no identity")
    .option('--insecure', 'plain text instead of TLS, for development only')
    .option(
      '--accept-ledger <head>',
      'accept a privacy ledger that was put back to an older state; head as `aegis ledger verify` prints it',
      parseHash,
    )
    .action(async (options: Options) => {
      const { terminal, env, signal } = context();
      const { host, port, enrolment, control, signatures, san = [], join = false, insecure = false } = options;
      const { clientCertificates: rule, clientCa: ca, clientCrl: crl } = options;
      const state = stateDirectory(stateRoot(options.state, env));
      // Loaded only here: other commands need not wait for all services.
      const { startSuite } = await import('../suite/start-suite.ts');
      const suite = await startSuite({
        state,
        host,
        port,
        san,
        enrolment,
        control,
        accounts: absolute(options.accounts),
        signatures,
        join,
        clients: { rule, ca: absolute(ca), crl: absolute(crl) },
        issuer: options.issuer,
        insecure,
        acceptLedger: options.acceptLedger,
        env,
        signal,
      });
      terminal.result({ ready: true, ...suite.facts });
      show(terminal, suite);
      const bug = await Promise.race([raised(signal), uncaughtError()]);
      terminal.line('');
      terminal.line('ending: answering what is under way, then closing …');
      await suite.close();
      if (bug !== undefined) throw bug;
      terminal.line('The suite is down.');
    });

const absolute = (file: string | undefined): string | undefined => (file === undefined ? undefined : resolve(file));

const controlWords: Readonly<Record<ControlPolicy, string>> = {
  loopback: 'the flwr command works on this machine only',
  open: 'the flwr command works from everywhere, for everybody',
  accounts: 'the flwr command works from everywhere, for accounts with a role',
  off: 'the flwr command is refused',
};

function show(terminal: Terminal, { facts }: Suite): void {
  const bold = (text: string) => terminal.style('bold', text);
  const reach = { address: facts.address, ca: facts.ca };
  const who =
    facts.enrolment === 'open' ? 'nodes register themselves' : 'only nodes that are invited or approved may come';
  terminal.line(`${bold('Aegis is up')} on ${facts.address} (${facts.insecure ? 'plain text' : 'TLS 1.3'}), ${who}.`);
  terminal.line(`  control    ${controlWords[facts.control]}`);
  terminal.line(`  state      ${facts.state}`);
  if (facts.ca !== null) terminal.line(`  authority  ${facts.ca}`);
  terminal.line(`  token      ${facts.tokenFile}`);
  terminal.line(`  log        ${facts.log}`);
  terminal.line('');
  terminal.line(bold('For the flwr command, in $FLWR_HOME/config.toml (usually ~/.flwr/config.toml):'));
  for (const line of flwrConfig(reach).trimEnd().split('\n')) terminal.line(`  ${line}`);
  terminal.line('');
  terminal.line(bold('For SuperNodes:'));
  for (const line of supernodeLines(reach, facts.enrolment)) terminal.line(`  ${line}`);
  terminal.line('');
  terminal.line('Ctrl-C ends it.');
}
