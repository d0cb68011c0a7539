import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, open, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { StreamCopies } from '@aegis/bus';
import { CommandError } from '../command-error.ts';
import { fingerprintOf, KEY_FILES, type Manifest, type SavedStream } from './manifest.ts';
import type { SealedFolder } from './sealed-folder.ts';

const PIECE_BYTES = 8 * 2 ** 20;
/** Of one moment, or as near to it as a busy suite lets them be. */
const TOGETHER = ['KV_runs', 'KV_rounds', 'KV_leases'];
const LEDGER = 'JOURNAL_privacy-ledger';
const TRIES = 5;
/** Sealed where they lie, never changed, only added to and removed. */
const SEALED_FILES = { 'aggregator/models': /^[0-9a-f]{64}\.model$/, 'aggregator/apps': /^[0-9a-f]{64}\.fab$/ };
const SEALED_KEYS = { 'aggregator/keys': /\.wrapped$/, 'accountant/keys': /\.(wrapped|sealed)$/ };

export interface Taken {
  readonly manifest: Manifest;
  readonly bytes: number;
}

/**
 * Without a ledger, budgets that were spent would be whole again after a restore: whoever copies runs without one says so.
 * `withoutLedger`: the suite has no privacy accountant.
 */
export function demandLedger(streams: readonly string[], withoutLedger: boolean): void {
  if (withoutLedger || streams.includes(LEDGER) || !TOGETHER.some((name) => streams.includes(name))) return;
  throw new CommandError('LEDGER_NEEDED', 'There are runs, and no privacy ledger with them.', {
    todo: "Name the way to the accountant's account of NATS too, or say --without-ledger where there is no privacy accountant.",
  });
}

/**
 * A running suite may go on meanwhile. The ledger is copied last, so that it knows of everything that any run of the backup released: it is never behind, at
 * most ahead, and what it is ahead stays spent. Models are copied before the runs that name them and once more after.
 * `state`: null for a suite whose files lie elsewhere.
 */
export async function takeBackup(copies: StreamCopies, state: string | null, to: SealedFolder): Promise<Taken> {
  const files = new Map<string, Manifest['files'][number]>();
  const copyFiles = async (): Promise<void> => {
    if (state !== null) await copyNew(state, SEALED_FILES, to, files);
  };
  await copyFiles();
  const names = (await copies.names()).filter((name) => name !== LEDGER && !TOGETHER.includes(name));
  const hasLedger = (await copies.names()).includes(LEDGER);
  const streams: SavedStream[] = [];
  let bytes = 0;
  const save = async (name: string, attempt = 0): Promise<void> => {
    const saved = await saveStream(copies, name, to, attempt);
    streams.push(saved.stream);
    bytes += saved.bytes;
  };
  for (const name of names) await save(name);
  const together = (await copies.names()).filter((name) => TOGETHER.includes(name));
  const before = streams.length;
  let still = false;
  for (let attempt = 0; attempt < TRIES && !still; attempt += 1) {
    streams.length = before;
    const first = together.includes('KV_runs') ? await copies.lastSequence('KV_runs') : 0;
    for (const name of together) await save(name, attempt);
    if (hasLedger) await save(LEDGER, attempt);
    still = !together.includes('KV_runs') || (await copies.lastSequence('KV_runs')) === first;
  }
  await copyFiles();
  const keys: Record<string, string> = {};
  if (state !== null) {
    await copyNew(state, SEALED_KEYS, to, files);
    for (const path of KEY_FILES) {
      const fingerprint = await fingerprintOf(state, path);
      if (fingerprint !== null) keys[path] = fingerprint;
    }
  }
  const takenAt = new Date().toISOString();
  const manifest: Manifest = {
    ...{ version: 1, takenAt, streams: streams.map((one) => ({ ...one })), files: [...files.values()], keys },
    ...{ accounts: [...copies.accounts], openRuns: await copies.keys('leases'), still },
  };
  // the last thing: without it the folder is no backup
  await to.write('manifest', Buffer.from(JSON.stringify(manifest)));
  return { manifest, bytes: bytes + [...files.values()].reduce((sum, file) => sum + file.bytes, 0) };
}

export const pieceName = (stream: string, attempt: number, at: number): string => `streams/${stream}/${attempt}-${at}`;

async function saveStream(
  copies: StreamCopies,
  name: string,
  to: SealedFolder,
  attempt: number,
): Promise<{ stream: SavedStream; bytes: number }> {
  let waiting: Buffer[] = [];
  let held = 0;
  let bytes = 0;
  let pieces = 0;
  const flush = async (): Promise<void> => {
    if (held === 0) return;
    await to.write(pieceName(name, attempt, pieces), Buffer.concat(waiting));
    pieces += 1;
    bytes += held;
    waiting = [];
    held = 0;
  };
  const head = await copies.save(name, async (piece) => {
    waiting.push(piece);
    held += piece.length;
    if (held >= PIECE_BYTES) await flush();
  });
  await flush();
  return { stream: { ...head, pieces, attempt }, bytes };
}

/** What is in none of `files` yet of the folders, by the names that count. */
async function copyNew(
  state: string,
  folders: Readonly<Record<string, RegExp>>,
  to: SealedFolder,
  files: Map<string, Manifest['files'][number]>,
): Promise<void> {
  for (const [folder, wanted] of Object.entries(folders))
    for (const name of await readdir(join(state, folder)).catch(() => [])) {
      const path = join(folder, name);
      if (!wanted.test(name) || files.has(path)) continue;
      const target = join(to.path, 'files', path);
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      // one that nobody needed any more is gone
      if (!(await copied(join(state, path), target))) continue;
      files.set(path, { path, bytes: (await stat(target)).size, sha256: await sha256Of(target) });
    }
}

async function copied(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  const handle = await open(to, 'r');
  await handle.sync().finally(() => handle.close());
  return true;
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: PIECE_BYTES })) hash.update(piece);
  return hash.digest('hex');
}
