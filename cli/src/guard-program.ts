// A program that is the guard and nothing else, for a site that has no other use for `aegis`.
import { Command } from 'commander';
import { asGuard } from './commands/guard.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { listenForInterruption } from './interruption.ts';
import { runProgram } from './run-program.ts';
import { version } from './version.ts';

// Warnings about what our libraries call are not for the person at the terminal.
process.noDeprecation = true;

export const runGuardProgram = (args: readonly string[]): Promise<number> =>
  runProgram(
    (context) => {
      const program = new Command('aegis-guard').version(version).addHelpText('after', exitCodeHelp);
      asGuard(program, () => context);
      return program;
    },
    args,
    { signal: listenForInterruption() },
  );
