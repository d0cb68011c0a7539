import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError } from '../command-error.ts';
import type { AddCommand } from '../context.ts';
import { parseWhole } from '../parse.ts';
import { isAlive } from '../processes/process-identity.ts';
import { stateDirectory, stateRoot } from '../state-directory.ts';
import { lockHolder } from '../state-lock.ts';

interface Options {
  state?: string;
  timeout: number;
}

export const addDown: AddCommand = (program, context) =>
  program
    .command('down')
    .description('stop the suite that `aegis up` started; its state stays')
    .option('--state <dir>', 'state directory (default: $AEGIS_HOME or .aegis)')
    .option('--timeout <seconds>', 'how long to wait for its end', parseWhole(1, 3600), 60)
    .action(async (options: Options) => {
      const { terminal, env, signal } = context();
      const state = stateDirectory(stateRoot(options.state, env));
      const holder = await lockHolder(state.lock);
      if (holder === undefined) {
        terminal.result({ stopped: false });
        terminal.line(`No suite is running in ${state.root}.`);
        return;
      }
      if (holder.host !== hostname()) {
        throw new CommandError('ON_ANOTHER_HOST', `The suite of ${state.root} runs on ${holder.host}: stop it there.`);
      }
      process.kill(holder.pid, 'SIGTERM');
      terminal.note(`waiting for process ${holder.pid} to end`);
      const begun = performance.now();
      while (isAlive(holder)) {
        if (performance.now() - begun > options.timeout * 1000) {
          throw new CommandError('STILL_RUNNING', `Process ${holder.pid} did not end within ${options.timeout} s.`, {
            todo: `Look at its log in ${state.log}, or force it: kill -9 ${holder.pid} (what is acknowledged stays; the next \`aegis up\` goes on).`,
          });
        }
        await sleep(100, undefined, { signal });
      }
      terminal.result({ stopped: true, pid: holder.pid });
      terminal.line('The suite is stopped.');
    });
