import { join, resolve } from 'node:path';
import { CommandError } from '../command-error.ts';
import type { AddCommand } from '../context.ts';
import { cast } from '../demo/cast.ts';
import { judge, type Report } from '../demo/verdict.ts';
import { ExitCode } from '../exit-codes.ts';
import { parseWhole } from '../parse.ts';
import { stateRoot } from '../state-directory.ts';
import type { Terminal } from '../terminal.ts';

interface Options {
  rounds: number;
  state?: string;
  secondsLimit: number;
}

export const addDemo: AddCommand = (program, context) =>
  program
    .command('demo')
    .description('five real Flower SuperNodes of different releases train one model through Aegis, from nothing')
    .option('--rounds <n>', 'rounds to train', parseWhole(1, 100), 6)
    .option('--state <dir>', 'folder to work in, emptied first (default: demo in the state directory)')
    .option('--seconds-limit <n>', 'give up after this long', parseWhole(10, 86_400), 1200)
    .action(async ({ rounds, state, secondsLimit }: Options) => {
      const { terminal, env, signal } = context();
      const { runDemo } = await import('../demo/run-demo.ts'); // loads all services
      const started = performance.now();
      const limit = AbortSignal.timeout(secondsLimit * 1000);
      const folder = state === undefined ? join(stateRoot(undefined, env), 'demo') : resolve(state);
      const report = await runDemo({ rounds, folder, env, terminal, signal: AbortSignal.any([signal, limit]) }).catch(
        (error: unknown) => {
          if (!limit.aborted || signal.aborted) throw error;
          throw new CommandError('TOO_SLOW', `The demo was not done after ${secondsLimit} s.`, { cause: error });
        },
      );
      const seconds = (performance.now() - started) / 1000;
      const verdict = judge(report, rounds, seconds);
      showReport(terminal, report);
      for (const complaint of verdict.complaints) terminal.line(`not good enough: ${complaint}`);
      terminal.result({ holds: verdict.holds, rounds, nodes: cast.length, seconds, ...report });
      terminal.line(verdict.line);
      if (!verdict.holds) context().exitCode = ExitCode.failed;
    });

function showReport(terminal: Terminal, { federated, alone }: Report): void {
  terminal.line();
  const rows = alone.map(({ accuracy, loss }, partition) => {
    const role = cast.find((one) => one.partition === partition);
    return [`${role?.name ?? partition} alone`, accuracy.toFixed(3), loss.toFixed(3)];
  });
  rows.push(['all together', federated.accuracy.toFixed(3), federated.loss.toFixed(3)]);
  terminal.table(['HELD-OUT IMAGES', 'ACCURACY', 'LOSS'], rows, '');
  terminal.line();
}
