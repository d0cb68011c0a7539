import { AegisError } from '@aegis/errors';
import { ZIP_END_BYTES, ZIP_NEWEST, zipEndFault } from '@aegis/service-kit';
import yauzl, { type Entry } from 'yauzl';
import type { FileOfParts } from '../../../flows/file-of-parts.ts';
import { nodeLimits } from '../../node/limits.ts';
import type { FoundArray } from './found-array.ts';
import { malformed } from './malformed.ts';

const ENCRYPTED = 1;
const STORED = 0;
const NPY = '.npy';
/** Names, comments and other fields of all members: fifty thousand with names of 100 bytes. */
const MOST_DIRECTORY = 8 * 2 ** 20;

/** As `numpy.savez` writes it: a ZIP archive whose members are .npy files, not compressed, so that each lies in the parts as it is. */
export const npzArrays = async (file: FileOfParts): Promise<FoundArray[]> => {
  try {
    const tail = Math.min(file.bytes, ZIP_END_BYTES);
    const fault = zipEndFault(await file.read(file.bytes - tail, tail), file.bytes);
    if (fault !== null) throw malformed(`The archive cannot be read: ${fault}.`);
    const zip = await yauzl.fromRandomAccessReaderPromise(new PartsReader(file), file.bytes, {
      strictFileNames: true,
      validateEntrySizes: true,
      autoClose: false,
    });
    if (zip.entryCount > nodeLimits.tensors)
      throw malformed(`It has ${zip.entryCount} members, at most ${nodeLimits.tensors} are taken.`);
    const entries: Entry[] = [];
    let directory = 0;
    for await (const entry of zip.eachEntry()) {
      directory += entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
      if (directory > MOST_DIRECTORY) throw malformed(`Its directory has more than ${MOST_DIRECTORY} bytes.`);
      entries.push(checked(entry));
    }
    if (new Set(entries.map(({ fileName }) => fileName)).size < entries.length)
      throw malformed('Two members have the same name.');
    // in the order in which they lie there: each part is read once
    entries.sort((one, other) => one.relativeOffsetOfLocalHeader - other.relativeOffsetOfLocalHeader);
    const arrays: FoundArray[] = [];
    let end = 0;
    for (const entry of entries) {
      const { fileDataStart, fileName } = await zip.readLocalFileHeaderPromise(entry, { minimal: false });
      if (entry.versionNeededToExtract > ZIP_NEWEST)
        throw malformed(`"${entry.fileName.slice(0, 100)}" is of no known format.`);
      // Another reader goes by the name that stands before the member.
      if (!fileName.equals(entry.fileNameRaw)) throw malformed(`"${entry.fileName.slice(0, 100)}" has two names.`);
      if (entry.relativeOffsetOfLocalHeader < end)
        throw malformed(`"${entry.fileName.slice(0, 100)}" begins in another member.`);
      end = fileDataStart + entry.uncompressedSize;
      const name = entry.fileName.slice(0, -NPY.length);
      arrays.push({ name, head: null, at: fileDataStart, bytes: entry.uncompressedSize });
    }
    return arrays;
  } catch (error) {
    if (error instanceof AegisError) throw error;
    throw malformed(`The archive cannot be read: ${(error as Error).message}.`, error);
  }
};

const checked = (entry: Entry): Entry => {
  const name = entry.fileName.slice(0, 100);
  if (!entry.fileName.endsWith(NPY)) throw malformed(`"${name}" is no .npy file.`);
  if ((entry.generalPurposeBitFlag & ENCRYPTED) !== 0) throw malformed(`"${name}" is encrypted.`);
  if (entry.compressionMethod !== STORED || entry.compressedSize !== entry.uncompressedSize)
    throw malformed(`"${name}" is compressed: write the file with numpy.savez, not savez_compressed.`);
  return entry;
};

class PartsReader extends yauzl.RandomAccessReader {
  readonly #file: FileOfParts;

  constructor(file: FileOfParts) {
    super();
    this.#file = file;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#file.read(position, length).then(
      (content) => {
        content.copy(buffer, offset);
        callback(null);
      },
      (error: unknown) => callback(AegisError.from(error)),
    );
  }

  /** Nothing of a member is read but where it begins. */
  override _readStreamForRange(): never {
    throw new AegisError('INTERNAL', 'A member of an archive was to be read.');
  }
}
