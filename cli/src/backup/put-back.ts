import { copyFile, mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { StreamCopies } from '@aegis/bus';
import { CommandError } from '../command-error.ts';
import { fingerprintOf, type Manifest, manifestShape } from './manifest.ts';
import { damaged, type SealedFolder } from './sealed-folder.ts';
import { pieceName, sha256Of } from './take-backup.ts';

/** Reads all that can be wrong with a backup before anything is written. */
export async function readManifest(from: SealedFolder): Promise<Manifest> {
  const content = await from.read('manifest');
  const manifest = manifestShape.parse(JSON.parse(content.toString('utf8')));
  for (const { path, sha256 } of manifest.files) {
    const found = await sha256Of(join(from.path, 'files', path)).catch(() => null);
    if (found !== sha256) throw damaged(path);
  }
  return manifest;
}

/** A state that holds something is nobody's to write over; keys are expected to be there. */
export async function demandEmpty(state: string): Promise<void> {
  for (const path of ['nats/jetstream', 'aggregator/volume', 'aggregator/models', 'aggregator/intake'])
    if (await isThere(join(state, path)))
      throw new CommandError('STATE_NOT_EMPTY', `${state} holds a suite already (${path}).`, {
        todo: 'Restore into a state directory that has keys and nothing else.',
      });
}

/** The keys that the backup belongs to must be in place: they are in no backup. */
export async function demandKeys(state: string, { keys }: Manifest): Promise<void> {
  const wrong: string[] = [];
  for (const [path, fingerprint] of Object.entries(keys)) {
    const found = await fingerprintOf(state, path);
    if (found !== fingerprint) wrong.push(`${path} ${found === null ? 'is missing' : 'is another key'}`);
  }
  if (wrong.length === 0) return;
  throw new CommandError('KEYS_NEEDED', `In ${state}: ${wrong.join(', ')}.`, {
    todo: 'Put the keys of the suite that was backed up there, from where you keep them; no backup has them.',
  });
}

export async function putBackFiles(from: SealedFolder, { files }: Manifest, state: string): Promise<void> {
  for (const { path } of files) {
    await mkdir(dirname(join(state, path)), { recursive: true, mode: 0o700 });
    await copyFile(join(from.path, 'files', path), join(state, path));
  }
}

/** NATS's name for the account of who has none; backups of the first release do not say theirs, which was this one. */
const DEFAULT_ACCOUNT = '$G';

/** What belongs into an account of its own may come into no other: there its service would not find it, and begin with nothing. */
export function demandAccounts({ accounts }: Manifest, copies: StreamCopies): void {
  const wanted = accounts.length === 0 ? [DEFAULT_ACCOUNT] : accounts;
  const missing = wanted.filter((account) => !copies.accounts.includes(account));
  if (missing.length === 0) return;
  throw new CommandError('ACCOUNTS_NEEDED', `The backup was taken of these accounts of NATS: ${wanted.join(', ')}.`, {
    todo: `Name a way to each of them: those that were given lead to ${copies.accounts.join(', ')}.`,
  });
}

/** `replicas`: of the cluster that takes them; undefined: as many as there were. The ledger goes first: nothing of a run is there without what it cost. */
export async function putBackStreams(
  from: SealedFolder,
  { streams }: Manifest,
  copies: StreamCopies,
  replicas: number | undefined,
): Promise<void> {
  const there = new Set(await copies.names());
  const known = streams.filter(({ name }) => there.has(name));
  if (known.length > 0)
    throw new CommandError('STORE_NOT_EMPTY', `This NATS has streams of a suite already: ${known[0]?.name}.`, {
      todo: 'Restore into an empty NATS store.',
    });
  for (const { name, account, config, state, pieces, attempt } of streams.toReversed()) {
    const all = async function* () {
      for (let at = 0; at < pieces; at += 1) yield await from.read(pieceName(name, attempt, at));
    };
    const asMany = { ...config, ...(replicas !== undefined && { num_replicas: replicas }) };
    await copies.restore({ name, account: account || DEFAULT_ACCOUNT, config: asMany, state }, all());
  }
}

const isThere = async (path: string): Promise<boolean> => {
  const found = await stat(path).catch(() => null);
  return found !== null && (!found.isDirectory() || (await readdir(path)).length > 0);
};
