import type { Command } from 'commander';
import { type ConnectionOptions, resolveConnection } from './connection.ts';
import type { ExitCode } from './exit-codes.ts';
import { logInToken } from './log-in.ts';
import { Operator } from './operator.ts';
import type { Terminal } from './terminal.ts';

/** What every command is given. */
export interface Context {
  readonly terminal: Terminal;
  readonly env: NodeJS.ProcessEnv;
  /** Raised when the command is to end: end what was started, then return or throw. */
  readonly signal: AbortSignal;
  /** What the process ends with if nothing is thrown. */
  exitCode: ExitCode;
}

/** Adds a command to the program; one per file in commands/. */
export type AddCommand = (parent: Command, context: () => Context) => void;

/** The options of a command that talks to a running suite. */
export const withConnectionOptions = (command: Command): Command =>
  command
    .option('--state <dir>', 'state directory whose suite is meant (default: $AEGIS_HOME or .aegis)')
    .option('--address <host:port>', 'the gateway')
    .option('--ca <file>', 'certificate authority of the gateway (PEM)')
    .option('--token-file <file>', 'file with an operator token (default: the log-in of `aegis login`)')
    .option('--insecure', 'plain text, for development only');

/** Opens the operator's door for `work` and closes it afterwards. */
export async function withOperator<T>(
  options: ConnectionOptions,
  context: Context,
  work: (operator: Operator) => Promise<T>,
): Promise<T> {
  const signal = AbortSignal.any([context.signal, context.terminal.closed]);
  const connection = await resolveConnection(options, context.env);
  const token = connection.token === '' ? await logInToken(connection, context.env, signal) : connection.token;
  const operator = new Operator({ ...connection, token }, signal);
  try {
    return await work(operator);
  } finally {
    operator.close();
  }
}
