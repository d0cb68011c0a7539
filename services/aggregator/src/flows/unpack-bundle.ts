import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { AegisError } from '@aegis/errors';
import { strictText, ZIP_END_BYTES, ZIP_NEWEST, zipEndFault } from '@aegis/service-kit';
import { parse } from 'smol-toml';
import yauzl, { type Entry } from 'yauzl';
import {
  type AppFacts,
  type BundleEntry,
  checkBundleSize,
  checkEntries,
  checkManifest,
  MANIFEST,
  PYPROJECT,
  readPyproject,
} from '../domain/app-bundle.ts';
import { canonicalApp, canonicalPyproject } from '../domain/app-digest.ts';
import { clientappFiles, detectDialect, type RecordDialect } from '../domain/record-dialect.ts';

export interface UnpackedBundle {
  readonly facts: AppFacts;
  readonly hash: string;
  readonly digest: string;
  readonly detectedDialect: RecordDialect | null;
  readonly files: ReadonlyMap<string, Buffer>;
}

/** Reads a bundle without trusting it: everything the directory can tell is checked before a byte is unpacked. */
export async function unpackBundle(fab: Buffer): Promise<UnpackedBundle> {
  checkBundleSize(fab.length);
  const files = await unpack(fab);
  const manifest = files.get(MANIFEST);
  if (manifest === undefined) throw new AegisError('APP_MALFORMED', `It has no ${MANIFEST}.`);
  files.delete(MANIFEST);
  const hashed = [...files].map(([path, content]) => ({ path, sha256: sha256(content), bytes: content.length }));
  checkManifest(textOf(MANIFEST, manifest), hashed);

  const pyproject = parsePyproject(files.get(PYPROJECT));
  const facts = readPyproject(pyproject);
  const source = clientappFiles(facts.clientapp)
    .map((path) => files.get(path))
    .find((content) => content !== undefined);
  if (source === undefined) {
    throw new AegisError(
      'APP_MALFORMED',
      `It has no ${clientappFiles(facts.clientapp)[0]}, which ${PYPROJECT} names as clientapp.`,
    );
  }
  return {
    facts,
    hash: sha256(fab),
    digest: sha256(canonicalApp(hashed, sha256(canonicalPyproject(pyproject)))),
    detectedDialect: detectDialect(source.toString('utf8')),
    files,
  };
}

async function unpack(fab: Buffer): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const fault = zipEndFault(fab.subarray(-ZIP_END_BYTES), fab.byteLength);
  if (fault !== null) throw new AegisError('APP_MALFORMED', `The ZIP file cannot be read: ${fault}.`);
  try {
    const zip = await yauzl.fromBufferPromise(fab, { strictFileNames: true, validateEntrySizes: true });
    const entries: Entry[] = [];
    for await (const entry of zip.eachEntry()) entries.push(entry);
    checkEntries(entries.map(bundleEntry));
    for (const entry of entries) {
      if (entry.fileName.endsWith('/')) continue;
      const { fileName } = await zip.readLocalFileHeaderPromise(entry);
      // Python's reader goes by the name that stands before the file.
      if (!fileName.equals(entry.fileNameRaw)) throw damaged(entry, 'has two names');
      if (entry.versionNeededToExtract > ZIP_NEWEST) throw damaged(entry, 'is of a newer format than there is');
      // yauzl fails the stream as soon as it gives more than the size that was just checked
      const pieces = await (await zip.openReadStreamPromise(entry)).toArray();
      const content = Buffer.concat(pieces as Buffer[]);
      if (crc32(content) !== entry.crc32) throw damaged(entry, 'does not have its checksum');
      files.set(entry.fileName, content);
    }
  } catch (error) {
    if (error instanceof AegisError) throw error;
    throw new AegisError('APP_MALFORMED', `The ZIP file cannot be read: ${(error as Error).message}.`, error);
  }
  return files;
}

const damaged = ({ fileName }: Entry, what: string): AegisError =>
  new AegisError('APP_MALFORMED', `Entry "${fileName.slice(0, 120)}" ${what}.`);

const UNIX = 3;

const bundleEntry = (entry: Entry): BundleEntry => ({
  name: entry.fileName,
  packed: entry.compressedSize,
  unpacked: entry.uncompressedSize,
  method: entry.compressionMethod,
  encrypted: (entry.generalPurposeBitFlag & 1) !== 0,
  mode: entry.versionMadeBy >>> 8 === UNIX ? entry.externalFileAttributes >>> 16 : 0,
});

function parsePyproject(content: Buffer | undefined): unknown {
  if (content === undefined) throw new AegisError('APP_MALFORMED', `It has no ${PYPROJECT}.`);
  try {
    return parse(textOf(PYPROJECT, content), { integersAsBigInt: true });
  } catch (cause) {
    if (cause instanceof AegisError) throw cause;
    const [line] = (cause as Error).message.split('\n');
    throw new AegisError('APP_MALFORMED', `${PYPROJECT}: ${line}`, cause);
  }
}

const textOf = (name: string, content: Buffer): string => {
  try {
    return strictText(content);
  } catch (cause) {
    throw new AegisError('APP_MALFORMED', `${name} is not UTF-8.`, cause);
  }
};

const sha256 = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');
