import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { keyFileWrapper } from '@aegis/cloud';
import { type DataKey, openFile, sealFile } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { CommandError } from '../command-error.ts';

const WRAPPED = 'key.wrapped';
const CONTEXT = 'aegis/backup';

/** A folder of sealed files under one data key, whose wrapped form lies among them. A file opens under its own path alone. */
export class SealedFolder {
  readonly path: string;
  readonly #key: DataKey;

  private constructor(path: string, key: DataKey) {
    this.path = path;
    this.#key = key;
  }

  /** An empty folder; `keyFile` is made when it is not there. */
  static async create(path: string, keyFile: string): Promise<SealedFolder> {
    await mkdir(dirname(path), { recursive: true });
    await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
      throw new CommandError('BACKUP_EXISTS', `${path} is there already.`, { todo: 'Name a new folder with -o.' });
    });
    const { key, wrapped } = await keyFileWrapper(keyFile, { create: true }).generate(CONTEXT);
    await writeFile(join(path, WRAPPED), wrapped, { mode: 0o600, flush: true });
    return new SealedFolder(path, key);
  }

  static async open(path: string, keyFile: string): Promise<SealedFolder> {
    const wrapped = await readFile(join(path, WRAPPED)).catch((cause: unknown) => {
      throw new CommandError('BACKUP_MISSING', `${path} is no backup.`, { todo: 'Name the folder of one.', cause });
    });
    const { key } = await keyFileWrapper(keyFile, { create: false }).unwrap(wrapped, CONTEXT);
    return new SealedFolder(path, key);
  }

  async write(name: string, content: Uint8Array): Promise<void> {
    await mkdir(dirname(join(this.path, name)), { recursive: true, mode: 0o700 });
    await sealFile(join(this.path, name), content, this.#key, `${CONTEXT}/${name}`);
  }

  async read(name: string): Promise<Buffer> {
    try {
      return await openFile(join(this.path, name), this.#key, `${CONTEXT}/${name}`);
    } catch (cause) {
      throw damaged(join(this.path, name), cause);
    }
  }
}

export const damaged = (what: string, cause?: unknown): AegisError =>
  new AegisError('CONFIG_INVALID', `The backup is damaged or incomplete: ${what}. Take another one.`, cause);
