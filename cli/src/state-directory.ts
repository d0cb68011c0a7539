import { constants } from 'node:fs';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { CommandError } from './command-error.ts';

/** Where everything of one embedded suite lies. */
export interface StateDirectory {
  readonly root: string;
  readonly connection: string;
  readonly lock: string;
  readonly operatorToken: string;
  readonly operators: string;
  readonly unitKey: string;
  readonly auditKey: string;
  readonly restKey: string;
  readonly pki: string;
  readonly nats: string;
  readonly natsLog: string;
  readonly natsKey: string;
  readonly aggregator: string;
  /** Keys of the privacy ledger and its anchor; the ledger itself lies in `nats`. */
  readonly accountant: string;
  /** Of `aegis issuer`: whom it certified. */
  readonly issuer: string;
  readonly log: string;
}

/** `--state`, else $AEGIS_HOME, else `.aegis` here. */
export const stateRoot = (given: string | undefined, env: NodeJS.ProcessEnv = process.env): string =>
  resolve(given ?? (env.AEGIS_HOME || '.aegis'));

export const stateDirectory = (root: string): StateDirectory => ({
  root,
  connection: join(root, 'connection.json'),
  lock: join(root, 'lock'),
  operatorToken: join(root, 'operator.token'),
  operators: join(root, 'operators.json'),
  unitKey: join(root, 'keys', 'unit.key'),
  auditKey: join(root, 'keys', 'audit.key'),
  restKey: join(root, 'keys', 'rest.key'),
  pki: join(root, 'pki'),
  nats: join(root, 'nats'),
  natsLog: join(root, 'log', 'nats.log'),
  natsKey: join(root, 'keys', 'nats.key'),
  aggregator: join(root, 'aggregator'),
  accountant: join(root, 'accountant'),
  issuer: join(root, 'issuer'),
  log: join(root, 'log', 'aegis.log'),
});

/** Creates the folders; only its owner may look inside. */
export async function prepareStateDirectory(state: StateDirectory): Promise<void> {
  try {
    await mkdir(state.root, { recursive: true, mode: 0o700 });
    await access(state.root, constants.R_OK | constants.W_OK | constants.X_OK);
    for (const folder of [dirname(state.log), dirname(state.natsKey), state.nats]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    }
  } catch (cause) {
    throw new CommandError('STATE_NOT_WRITABLE', `The state directory ${state.root} is not writable.`, {
      todo: 'Choose another with --state DIR or AEGIS_HOME, or correct its owner and mode.',
      cause,
    });
  }
}

/** How to reach the suite of a state directory: written by `aegis up`, read by every other command. */
export interface ConnectionFile {
  readonly address: string;
  /** PEM file; null with plain text. */
  readonly ca: string | null;
  readonly tokenFile: string;
  readonly insecure: boolean;
}

export const writeConnectionFile = (state: StateDirectory, connection: ConnectionFile): Promise<void> =>
  writeFile(state.connection, `${JSON.stringify(connection, null, 2)}\n`, { mode: 0o600 });

/** undefined when no suite was ever started there. */
export async function readConnectionFile(state: StateDirectory): Promise<ConnectionFile | undefined> {
  let text: string;
  try {
    text = await readFile(state.connection, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { address, ca, tokenFile, insecure } = JSON.parse(text) as ConnectionFile;
    if (typeof address === 'string' && typeof tokenFile === 'string') return { address, ca, tokenFile, insecure };
  } catch {
    // Below: damaged in whatever way.
  }
  throw new CommandError('CONNECTION_FILE', `${state.connection} is damaged.`, { todo: 'Start `aegis up` again.' });
}
