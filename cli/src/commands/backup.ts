import { resolve } from 'node:path';
import { openStreamCopies } from '@aegis/bus';
import { natsOfFile, natsOfState } from '../backup/reach-nats.ts';
import { SealedFolder } from '../backup/sealed-folder.ts';
import { demandLedger, takeBackup } from '../backup/take-backup.ts';
import type { AddCommand } from '../context.ts';
import { stateDirectory, stateRoot } from '../state-directory.ts';

interface Options {
  output: string;
  key: string;
  state?: string;
  nats?: string;
  withoutLedger?: true;
}

export const addBackup: AddCommand = (program, context) =>
  program
    .command('backup')
    .description(
      'copy runs, ledger, audit log, models and apps into a new sealed folder; the suite may go on. Plain keys are left out',
    )
    .requiredOption('-o, --output <dir>', 'new folder of the backup')
    .requiredOption('--key <file>', 'key that seals it, made when missing; keep it elsewhere')
    .option('--state <dir>', 'state directory of the suite (default: $AEGIS_HOME or .aegis)')
    .option(
      '--nats <file>',
      'what `aegis kubernetes secrets` wrote for it, with a `nats:` for each account; then NATS alone is copied',
    )
    .option('--without-ledger', 'there is no privacy accountant, and so no ledger to copy')
    .action(async (options: Options) => {
      const { terminal, env } = context();
      const state = options.nats === undefined ? stateDirectory(stateRoot(options.state, env)) : null;
      const nats = state === null ? natsOfFile(options.nats ?? '') : await natsOfState(state, env);
      try {
        const copies = await openStreamCopies(...nats.ways);
        const take = async () => {
          demandLedger(await copies.names(), options.withoutLedger ?? false);
          const to = await SealedFolder.create(resolve(options.output), resolve(options.key));
          return { to, ...(await takeBackup(copies, state?.root ?? null, to)) };
        };
        const { to, manifest, bytes } = await take().finally(() => copies.close());
        const { takenAt, streams, files, openRuns: runs, still } = manifest;
        terminal.result({ takenAt, streams: streams.length, files: files.length, bytes, openRuns: runs, still });
        terminal.line(
          `${to.path}: ${streams.length} streams, ${files.length} files, ${bytes} bytes, ${runs.length} open runs`,
        );
        if (!still)
          terminal.note(
            'Runs changed while they were copied: private ones may end instead of going on after a restore.',
          );
      } finally {
        await nats.close();
      }
    });
