import { type Command, CommanderError } from 'commander';
import { failureOf } from './command-error.ts';
import type { Context } from './context.ts';
import { ExitCode } from './exit-codes.ts';
import { Interrupted } from './interruption.ts';
import { Terminal, type TerminalOptions } from './terminal.ts';

export interface Surroundings {
  readonly stdout?: TerminalOptions['stdout'];
  readonly stderr?: TerminalOptions['stderr'];
  readonly env?: NodeJS.ProcessEnv;
  /** Raised when the person presses Ctrl-C. */
  readonly signal: AbortSignal;
}

/**
 * Runs one command line (without `node` and the script's name) of the program that `create` makes, and returns the exit code.
 */
export async function runProgram(
  create: (context: Context) => Command,
  args: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  const env = surroundings.env ?? process.env;
  const terminal = new Terminal({ json: wantsJson(args), env, ...surroundings });
  const { signal } = surroundings;
  let name = 'aegis';
  try {
    const context: Context = { terminal, env, signal, exitCode: ExitCode.done };
    const program = create(context);
    name = program.name();
    settle(program, terminal);
    await program.parseAsync([...args], { from: 'user' });
    return context.exitCode;
  } catch (caught) {
    if (terminal.closed.aborted && caught === terminal.closed.reason) return ExitCode.done;
    terminal.clearTransient();
    if (caught instanceof CommanderError) return usage(caught, terminal, name);
    if (signal.aborted && (caught === signal.reason || signal.reason instanceof Interrupted)) {
      terminal.failure({
        code: 'INTERRUPTED',
        message: (signal.reason as Error).message,
        todo: '',
        exitCode: ExitCode.interrupted,
      });
      return ExitCode.interrupted;
    }
    const failure = failureOf(caught);
    terminal.failure(failure);
    if (env.AEGIS_DEBUG) terminal.note((caught as Error).stack ?? '');
    return failure.exitCode;
  }
}

// Asked before parsing: errors of the parser itself are already printed in the wanted form.
const wantsJson = (args: readonly string[]): boolean => {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).includes('--json');
};

function usage(error: CommanderError, terminal: Terminal, name: string): number {
  if (error.exitCode === 0) return ExitCode.done; // --help, --version
  const message = error.message.replace(/^error: /, '');
  // Commander shows the help itself when no command is given.
  if (error.code !== 'commander.help') {
    terminal.failure({ code: 'USAGE', message, todo: `See: ${name} --help`, exitCode: ExitCode.usage });
  }
  return ExitCode.usage;
}

function settle(program: Command, terminal: Terminal): void {
  forEachCommand(program, (command) => {
    if (command.commands.length === 0) command.option('--json', 'one JSON value on stdout and nothing else');
    command.exitOverride();
    command.configureOutput({
      writeOut: (text) => terminal.write(text),
      writeErr: (text) => terminal.note(text.trimEnd()),
      outputError: () => undefined, // printed by `usage`, in the wanted form
    });
  });
}

function forEachCommand(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const child of command.commands) forEachCommand(child, visit);
}
