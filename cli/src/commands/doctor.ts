import { readFile, stat } from 'node:fs/promises';
import { CommandError } from '../command-error.ts';
import { parseAddress } from '../connection.ts';
import type { AddCommand } from '../context.ts';
import { examine } from '../doctor/examine.ts';
import type { OwnIdentity, Patient, Step } from '../doctor/step.ts';
import { ExitCode } from '../exit-codes.ts';
import { readConnectionFile, stateDirectory, stateRoot } from '../state-directory.ts';
import type { Terminal } from '../terminal.ts';

interface Options {
  state?: string;
  ca?: string;
  serverName?: string;
  certificate?: string;
  key?: string;
  nodeKey?: string;
  insecure?: boolean;
}

export const addDoctor: AddCommand = (program, context) =>
  program
    .command('doctor')
    .description('examine the way to a gateway step by step, and name the step that fails')
    .argument('[address]', 'host:port (default: the suite of the state directory)')
    .option('--ca <file>', 'certificate authority of the gateway (PEM)')
    .option('--server-name <name>', 'name in the certificate of the gateway, when it is not its host')
    .option('--certificate <file>', 'certificate that the node or guard shows: would it be let in?')
    .option('--key <file>', 'its key')
    .option('--node-key <file>', "a node's private key (OpenSSH or PEM): is it registered there?")
    .option('--insecure', 'the gateway speaks plain text')
    .option('--state <dir>', 'state directory (default: $AEGIS_HOME or .aegis)')
    .action(async (address: string | undefined, options: Options) => {
      const { terminal, env } = context();
      const patient = await admit(address, options, env);
      const steps = await examine(patient, (step) => showStep(terminal, step));
      terminal.result({ address: `${patient.host}:${patient.port}`, ok: !steps.some(isFailed), steps });
      if (!steps.some(isFailed)) return terminal.line('All is well.');
      context().exitCode = ExitCode.failed;
    });

const isFailed = (step: Step): boolean => step.state === 'failed';

async function admit(given: string | undefined, options: Options, env: NodeJS.ProcessEnv): Promise<Patient> {
  const file = await readConnectionFile(stateDirectory(stateRoot(options.state, env)));
  const address = given ?? file?.address;
  if (address === undefined) {
    throw new CommandError('ADDRESS', 'Which gateway? No suite was started here.', {
      todo: 'aegis doctor HOST:PORT --ca FILE',
      exitCode: ExitCode.usage,
    });
  }
  const { host, port } = parseAddress(address);
  // The authority of a local suite also helps for its other names (localhost, this machine's name) on the same port.
  const local = file !== undefined && parseAddress(file.address).port === port;
  const caFile = options.ca ?? (local ? (file.ca ?? undefined) : undefined);
  return {
    host,
    port,
    ca: caFile === undefined ? undefined : await readFile(caFile, 'utf8'),
    serverName: options.serverName,
    insecure: options.insecure ?? (local && file.insecure),
    own: await ownIdentity(options),
    nodeKey: options.nodeKey === undefined ? undefined : await readFile(options.nodeKey, 'utf8'),
    now: Date.now,
    timeoutMs: 10_000,
  };
}

async function ownIdentity({ certificate, key }: Options): Promise<OwnIdentity | undefined> {
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    throw new CommandError('USAGE', '--certificate and --key belong together: give both, or neither.', {
      exitCode: ExitCode.usage,
    });
  }
  return {
    certificate: await readFile(certificate, 'utf8'),
    key: await readFile(key, 'utf8'),
    isOpenToOthers: ((await stat(key)).mode & 0o077) !== 0,
  };
}

function showStep(terminal: Terminal, { name, state, detail, todo }: Step): void {
  const mark = { ok: terminal.style('green', 'ok     '), failed: terminal.style('red', 'FAILED '), skipped: 'skipped' }[
    state
  ];
  terminal.line(`${mark}  ${name.padEnd(22)}  ${detail}`);
  if (todo !== '') terminal.line(`         ${''.padEnd(22)}  ${terminal.style('bold', todo)}`);
}
