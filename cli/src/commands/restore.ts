import { resolve } from 'node:path';
import { openStreamCopies } from '@aegis/bus';
import {
  demandAccounts,
  demandEmpty,
  demandKeys,
  putBackFiles,
  putBackStreams,
  readManifest,
} from '../backup/put-back.ts';
import { natsOfFile, natsOfState } from '../backup/reach-nats.ts';
import { SealedFolder } from '../backup/sealed-folder.ts';
import { demandLedger } from '../backup/take-backup.ts';
import type { AddCommand } from '../context.ts';
import { stateDirectory, stateRoot } from '../state-directory.ts';

interface Options {
  key: string;
  state?: string;
  nats?: string;
  withoutLedger?: true;
}

export const addRestore: AddCommand = (program, context) =>
  program
    .command('restore')
    .description('put a backup into a state directory (or a NATS) that holds nothing but the keys it belongs to')
    .argument('<dir>', 'folder of the backup')
    .requiredOption('--key <file>', 'key that sealed it')
    .option('--state <dir>', 'state directory to fill (default: $AEGIS_HOME or .aegis)')
    .option('--nats <file>', 'as for `aegis backup`; for a backup of NATS alone')
    .option('--without-ledger', 'the backup has no privacy ledger: budgets that were spent are whole again')
    .action(async (folder: string, options: Options) => {
      const { terminal, env } = context();
      const from = await SealedFolder.open(resolve(folder), resolve(options.key));
      const manifest = await readManifest(from);
      demandLedger(
        manifest.streams.map(({ name }) => name),
        options.withoutLedger ?? false,
      );
      const state = options.nats === undefined ? stateDirectory(stateRoot(options.state, env)) : null;
      if (state !== null) {
        await demandEmpty(state.root);
        await demandKeys(state.root, manifest);
      }
      const nats = state === null ? natsOfFile(options.nats ?? '') : await natsOfState(state, env);
      try {
        if (state !== null) await putBackFiles(from, manifest, state.root);
        const copies = await openStreamCopies(...nats.ways);
        try {
          demandAccounts(manifest, copies);
          await putBackStreams(from, manifest, copies, nats.replicas);
        } finally {
          await copies.close();
        }
      } finally {
        await nats.close();
      }
      const { takenAt, openRuns } = manifest;
      terminal.result({ takenAt, openRuns });
      terminal.line(`Restored as of ${takenAt}. Start the suite, then:`);
      terminal.line('  aegis ledger verify');
      for (const run of openRuns) terminal.line(`  aegis runs takeover ${run}`);
    });
