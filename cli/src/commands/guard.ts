import { X509Certificate } from 'node:crypto';
import { access, readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import type { Explanation, Launch, OwnIdentity, readSigning, Signing } from '@aegis/guard';
import {
  createLogger,
  createTelemetry,
  federationIdentity,
  readRoots,
  readTls,
  type TlsMaterial,
} from '@aegis/service-kit';
import { InvalidArgumentError } from 'commander';
import { CommandError } from '../command-error.ts';
import type { AddCommand } from '../context.ts';
import { ExitCode } from '../exit-codes.ts';
import { parseId } from '../parse.ts';
import { ProcessGroup } from '../processes/process-group.ts';
import type { Terminal } from '../terminal.ts';

interface Options {
  server?: string;
  serverName?: string;
  ca?: string;
  certificate?: string;
  key?: string;
  invite?: string;
  signingCertificate?: string;
  signingKey?: string;
  federationRoot?: string;
  federationCrl?: string;
  policy: string;
  state: string;
  explain?: bigint;
  listen?: { host: string; port: number };
}

export const addGuard: AddCommand = (program, context) => asGuard(program.command('guard'), context);

/** Makes a command the guard's: `aegis guard`, or a program that is nothing else. */
export const asGuard: AddCommand = (command, context) =>
  command
    .description(
      "the data owner's door: runs a SuperNode behind a policy; what the policy does not allow does not leave",
    )
    .argument('[command...]', 'after --: flower-supernode and its own options')
    .option('--server <host:port>', 'the gateway')
    .option('--server-name <name>', 'name in the certificate of the gateway, when it is not its host')
    .option('--ca <file>', 'authority of the certificate of the gateway (PEM)')
    .option('--certificate <file>', 'certificate of this guard (aegis ca issue NAME --kind guard)')
    .option('--key <file>', 'its key; only its owner may read it')
    .option(
      '--invite <token>',
      'instead of the two: the guard makes its own key in --state and gets its certificate with this (aegis nodes invite --name NAME), once',
    )
    .option(
      '--signing-certificate <file>',
      'for secure aggregation: what other nodes know this one by (aegis ca issue NAME --kind signing)',
    )
    .option('--signing-key <file>', 'its key; only its owner may read it')
    .option('--federation-root <file>', "the federation's root.pem, your own copy: whose nodes are believed")
    .option('--federation-crl <file>', 'what that root revoked (crl.pem); read again when it changes')
    .option(
      '--listen <address:port>',
      'instead of a command: wait here for a SuperNode that is started elsewhere; a loopback address',
      parseLoopback,
    )
    .option('--policy <file>', "the data owner's policy", 'policy.yaml')
    .option('--state <dir>', 'where journal and audit file are kept', '.aegis-guard')
    .option('--explain <run-id>', 'say what would leave for a run and why, and what has left; starts nothing', parseId)
    .action(async (command: string[], options: Options) => {
      const { terminal, env, signal } = context();
      const guard = await import('@aegis/guard');
      const [state, policyFile] = [resolve(options.state), resolve(options.policy)];
      const loaded = guard.loadPolicy(policyFile);
      if (options.explain !== undefined) {
        const canMask = options.signingCertificate !== undefined;
        const files = { state, auditFile: guard.auditFileOf(state), now: Date.now(), canMask };
        return explain(terminal, guard.explainRun(files, loaded, options.explain));
      }
      mustSayWhat(command, options.listen);
      const reserved = guard.reservedArgument(command);
      if (reserved !== undefined) {
        throw new CommandError('USAGE', `${reserved} is the guard's to give: it is the SuperLink of this SuperNode.`, {
          todo: `Leave ${reserved} out; the guard reaches the server with --server, --ca and --certificate.`,
          exitCode: ExitCode.usage,
        });
      }
      const address = required(options.server, '--server HOST:PORT');
      const signs = await signing(options, guard.readSigning);
      const check = (certificate: Buffer): void => {
        if (signs !== null) demandOneName(certificate, signs.certificatePem);
      };
      const isGiven = options.certificate !== undefined || options.key !== undefined;
      const tls = isGiven ? await material(options) : await ownIdentity(options, check);
      if (!('roots' in tls)) check(tls.cert);
      if (signs === null && loaded.policy.requireMasking) {
        throw new CommandError('USAGE', 'The policy says require-masking, and nothing could leave.', {
          todo: 'Give --signing-certificate, --signing-key and --federation-root.',
          exitCode: ExitCode.usage,
        });
      }
      if (options.listen === undefined) await mustBeFound(command[0] ?? '', env);
      const log = createLogger({ name: 'guard', destination: join(state, 'guard.log') });
      // spans of what the guard does, where the owner's OTEL_… variables send them; nowhere without
      const telemetry = createTelemetry({ service: 'aegis-guard', version: '0.1.0', env, metrics: false });
      const code = await guard
        .runGuard({
          ...{
            address,
            serverName: options.serverName,
            tls,
            signing: signs,
            state,
            policyFile,
            loaded,
            command,
            listen: options.listen,
            env,
            launch,
            log,
            signal,
            telemetry,
          },
          say: (line) => terminal.note(`${hostname()} guard: ${line}`),
        })
        .finally(() => telemetry.shutdown());
      if (code !== 0) {
        throw new CommandError('SUPERNODE_FAILED', `The SuperNode ended with ${code}, again and again.`, {
          todo: 'Its own words are above.',
        });
      }
    });

const launch: Launch = (command, args, env) => {
  const group = new ProcessGroup(command, args, { env, cwd: process.cwd(), output: 2 });
  return { ended: group.ended, end: (graceMs) => group.end(graceMs) };
};

/**
 * What reaches the guard there is plain text and may be the SuperNode: it is for this machine, or the containers of one pod, alone.
 */
function parseLoopback(text: string): { host: string; port: number } {
  const [, host = '', port = ''] = /^(127(?:\.\d{1,3}){3}|\[::1\]|localhost):(\d{1,5})$/.exec(text) ?? [];
  if (host === '' || Number(port) > 65_535) {
    throw new InvalidArgumentError(
      'It must be a loopback address and a port, 127.0.0.1:9092. A SuperNode in another container shares the network of the guard (docs/guard.md).',
    );
  }
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

const mustSayWhat = (command: readonly string[], listen: Options['listen']): void => {
  if ((command.length === 0) !== (listen === undefined)) return;
  const message =
    listen === undefined
      ? 'Say what to guard: aegis guard … -- flower-supernode …, or --listen 127.0.0.1:9092 for one that is started elsewhere.'
      : 'Say one of the two: --listen for a SuperNode that is started elsewhere, or a command after -- to start.';
  throw new CommandError('USAGE', message, { exitCode: ExitCode.usage });
};

const required = (value: string | undefined, option: string): string => {
  if (value !== undefined) return value;
  throw new CommandError('USAGE', `The guard needs ${option}.`, { exitCode: ExitCode.usage });
};

/** The guard's own, in its state folder: made with an invitation, or made before. */
const ownIdentity = async (options: Options, check: OwnIdentity['check']): Promise<OwnIdentity> => {
  const [ca, rootFile] = [
    required(options.ca, '--ca FILE'),
    resolve(required(options.federationRoot, '--federation-root FILE')),
  ];
  if (options.invite === undefined && !(await isThere(join(resolve(options.state), 'identity', 'node.pem')))) {
    throw new CommandError('USAGE', 'The guard needs --invite TOKEN, or --certificate FILE and --key FILE.', {
      todo: 'The operator makes a token with: aegis nodes invite --name NAME',
      exitCode: ExitCode.usage,
    });
  }
  const roots = readRoots(await contentOf('--federation-root', rootFile));
  if (roots.length === 0) {
    throw new CommandError('USAGE', `There is no certificate in ${rootFile}.`, { exitCode: ExitCode.usage });
  }
  return { ca: Buffer.from(await contentOf('--ca', resolve(ca))), roots, invitation: options.invite, check };
};

const contentOf = (option: string, file: string): Promise<string> =>
  readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CommandError('USAGE', `${option}: ${file} cannot be read.`, { exitCode: ExitCode.usage, cause });
  });

const isThere = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

const material = async (options: Options): Promise<TlsMaterial> => {
  const files = {
    ca: resolve(required(options.ca, '--ca FILE')),
    cert: resolve(required(options.certificate, '--certificate FILE')),
    key: resolve(required(options.key, '--key FILE')),
  };
  const tls = readTls(files);
  if (((await stat(files.key)).mode & 0o077) !== 0) {
    throw new CommandError('KEY_OPEN', `${files.key} is open to other users of this machine.`, {
      todo: `Type: chmod 600 ${files.key}`,
    });
  }
  return tls;
};

/** All of it or nothing: a guard that was half told would sign nothing and say nothing about it. */
const signing = async (options: Options, read: typeof readSigning): Promise<Signing | null> => {
  const { signingCertificate, signingKey, federationRoot, federationCrl } = options;
  // A guard that enrols itself has a use of its own for the root.
  const rootAlone = federationRoot !== undefined && options.certificate === undefined;
  if (signingCertificate === undefined && signingKey === undefined && (federationRoot === undefined || rootAlone))
    return null;
  const files = {
    certificate: resolve(required(signingCertificate, '--signing-certificate FILE')),
    key: resolve(required(signingKey, '--signing-key FILE')),
    roots: resolve(required(federationRoot, '--federation-root FILE')),
    ...(federationCrl !== undefined && { crl: resolve(federationCrl) }),
  };
  return read(files, Date.now());
};

/** Another node's signing certificate would push that node out of rounds: the first that shows it is the one that counts. */
const demandOneName = (own: string | Buffer, signs: string): void => {
  const [node, signer] = [own, signs].map((pem) => federationIdentity(new X509Certificate(pem).subjectAltName)?.name);
  if (node === undefined || node === signer) return;
  throw new CommandError('SIGNING_OF_ANOTHER', `The signing certificate is ${signer}'s, and this guard is ${node}.`, {
    todo: `Issue one with: aegis ca issue ${node} --kind signing`,
  });
};

const mustBeFound = async (program: string, env: NodeJS.ProcessEnv): Promise<void> => {
  const candidates = program.includes('/')
    ? [program]
    : (env.PATH ?? '').split(delimiter).map((folder) => join(folder, program));
  for (const file of candidates) {
    if (await isThere(file)) return;
  }
  throw new CommandError('PROGRAM_NOT_FOUND', `There is no program ${program} here.`, {
    todo: 'Activate the Python environment that has flwr, or give the whole path.',
    exitCode: ExitCode.notFound,
  });
};

function explain(terminal: Terminal, explanation: Explanation): void {
  const { runId, run, signedBy, masking, noise, tasks, history } = explanation;
  terminal.result(explanation);
  terminal.line(
    run === null
      ? `This guard was never offered work of run ${runId}: what its app is, is not known yet.`
      : `Run ${runId}: ${run.appId} ${run.appVersion}, bundle ${run.appHash}.`,
  );
  if (signedBy.length > 0) terminal.line(`Signed by ${signedBy.join(', ')}.`);
  if (masking !== null) {
    const { cohort, minSurvivors } = masking;
    terminal.line(`Its answers were masked last in a cohort of ${cohort}; a sum of ${minSurvivors} or more is opened.`);
  }
  if (noise !== null) {
    terminal.line(
      `All noised sums of this node so far: ${noise.sums}, together ε ${Number(noise.epsilon.toPrecision(4))}.`,
    );
  }
  for (const { kind, masked, decision } of tasks) {
    const how = masked ? 'masked' : 'in the clear';
    const words = decision.allowed ? 'allowed' : `refused: ${decision.reason} (${decision.rule})`;
    terminal.line(`  ${kind.padEnd(13)} ${how.padEnd(12)} ${words}`);
  }
  terminal.table(
    ['time', 'round', 'task', 'what'],
    history.map((line) => [String(line.time), String(line.round ?? ''), String(line.kind ?? ''), wordsOf(line)]),
    'Nothing has left, and nothing was refused.',
  );
}

const wordsOf = (line: Readonly<Record<string, unknown>>): string => {
  const list = (value: unknown): string => (Array.isArray(value) && value.length > 0 ? value.join(', ') : 'none');
  switch (line.event) {
    case 'answer-released':
      return `left ${Number(line.maskedAmong ?? 0) > 0 ? `masked, in a sum of ${line.maskedAmong} or more` : 'in the clear'}: tensors ${list(line.tensors)}; metrics ${list(line.metrics)}; ${line.bytes} bytes; withheld: ${list(line.withheld)}`;
    case 'offer-refused':
    case 'answer-refused':
      return `refused: ${line.reason} (${line.rule})`;
    case 'round-joined':
      return `takes part with ${Number(line.nodes) - 1} others; a sum of ${line.survivors} or more may be opened`;
    case 'round-refused':
      return `refused at the stage ${line.stage}: ${line.reason} ${line.detail}`;
    case 'sum-opened':
      return `helped to open the sum of ${line.survivors} nodes, without ${line.dropped} that dropped out`;
    case 'failure-reported':
      return `told the server: ${line.reason}`;
    case 'verdict':
      return line.accepted === true ? 'the server took it' : `the server refused it: ${line.code}`;
    default:
      return 'allowed to run here';
  }
};
