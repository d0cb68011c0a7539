import { readFile, stat } from 'node:fs/promises';
import { CommandError } from '../command-error.ts';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { signApp } from '../keys/app-signature.ts';
import { ed25519Line, readEd25519 } from '../keys/ed25519-private-key.ts';

interface Options extends ConnectionOptions {
  key: string;
  id: string;
}

export const addAppSign: AddCommand = (program, context) =>
  withConnectionOptions(
    program
      .command('sign')
      .description(
        'sign an app bundle with a key the server does not hold, and give the server the signature to pass on',
      )
      .argument('<fab>', 'the bundle that will run, as `flwr build` writes it')
      .requiredOption('--key <file>', 'Ed25519 private key (ssh-keygen -t ed25519)')
      .requiredOption('--id <name>', 'the id under which those who trust the key list it'),
  ).action(async (file: string, options: Options) => {
    const { terminal } = context();
    const fab = await readFile(file);
    if (!fab.subarray(0, 2).equals(ZIP)) {
      throw new CommandError('APP_MALFORMED', `${file} is no app bundle.`, { todo: 'Type: flwr build --app DIR' });
    }
    if (((await stat(options.key)).mode & 0o077) !== 0) {
      throw new CommandError('KEY_OPEN', `${options.key} is open to other users of this machine.`, {
        todo: `Type: chmod 600 ${options.key}`,
      });
    }
    const key = readEd25519(await readFile(options.key, 'utf8'));
    const signedAt = Math.floor(Date.now() / 1000);
    const { appHash, verification } = signApp(fab, key, signedAt);
    const line = ed25519Line(key);
    await withOperator(options, context(), (operator) =>
      operator.call('signApp', { appHash, keyId: options.id, verification }),
    );
    terminal.result({ appHash, keyId: options.id, signedAt, trustedEntity: { [options.id]: line } });
    terminal.line(`Signed: bundle ${appHash}, as ${options.id}.`);
    terminal.line(
      'Whoever trusts the key lists it, for a guard (trusted-entities) or a SuperNode (--trusted-entities):',
    );
    terminal.line(`  ${options.id}: "${line}"`);
  });

const ZIP = Buffer.from('PK');
