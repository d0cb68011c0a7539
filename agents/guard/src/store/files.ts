import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AegisError } from '@aegis/errors';
import { writeFileAtomic } from '@aegis/service-kit';
import type { ModelFiles, PartFiles } from './contract.ts';

/** A name that is a file name and nothing else. */
const NAME = /^[0-9A-Za-z_-]{1,64}$/;
export const nameOf = (text: string): string => {
  if (NAME.test(text)) return text;
  throw new AegisError('REQUEST_MALFORMED', 'A task, part or model has an id that is none.');
};

const readRange = async (file: string, offset: number, length: number): Promise<Buffer> => {
  const handle = await open(file, 'r');
  try {
    const buffer = Buffer.allocUnsafe(length);
    const { bytesRead } = await handle.read(buffer, 0, length, offset);
    if (bytesRead !== length) throw new AegisError('INTERNAL', `${file} is shorter than it should be.`);
    return buffer;
  } finally {
    await handle.close();
  }
};

/** One folder per task, one file per object. */
export class FolderPartFiles implements PartFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async write(taskId: string, name: string, content: Buffer): Promise<void> {
    await writeFileAtomic(join(this.#of(taskId), nameOf(name)), content, 0o600);
  }

  read(taskId: string, name: string, offset: number, length: number): Promise<Buffer> {
    return readRange(join(this.#of(taskId), nameOf(name)), offset, length);
  }

  async drop(taskId: string): Promise<void> {
    await rm(this.#of(taskId), { recursive: true, force: true });
  }

  async dropAllBut(taskIds: readonly string[]): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#folder)) {
      if (!taskIds.includes(name)) await rm(join(this.#folder, name), { recursive: true, force: true });
    }
  }

  #of(taskId: string): string {
    return join(this.#folder, nameOf(taskId));
  }
}

/** As many models as a node is likely to be asked about in turn. */
const MODELS_KEPT = 3;

/** One file per model; a model that is not complete yet has another name. */
export class FolderModelFiles implements ModelFiles {
  readonly #folder: string;
  readonly #writing = new Map<string, Promise<void>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async ensure(
    modelId: string,
    bytes: number,
    pieces: () => AsyncIterable<{ offset: number; content: Buffer }>,
    check: Parameters<ModelFiles['ensure']>[3],
  ): Promise<void> {
    const under = this.#writing.get(modelId);
    if (under) return under;
    const writing = this.#write(modelId, bytes, pieces, check).finally(() => this.#writing.delete(modelId));
    this.#writing.set(modelId, writing);
    return writing;
  }

  read(modelId: string, offset: number, length: number): Promise<Buffer> {
    return readRange(join(this.#folder, nameOf(modelId)), offset, length);
  }

  async #write(
    modelId: string,
    bytes: number,
    pieces: () => AsyncIterable<{ offset: number; content: Buffer }>,
    check: Parameters<ModelFiles['ensure']>[3],
  ): Promise<void> {
    const file = join(this.#folder, nameOf(modelId));
    if (await isThere(file, bytes)) return;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.#makeRoom(modelId);
    const handle = await open(`${file}.part`, 'w', 0o600);
    try {
      let written = 0;
      for await (const { offset, content } of pieces()) {
        if (offset !== written) throw new AegisError('INTERNAL', 'The server sent a model out of order.');
        await handle.write(content, 0, content.byteLength, offset);
        written += content.byteLength;
      }
      if (written !== bytes) throw new AegisError('INTERNAL', `The model has ${written} bytes instead of ${bytes}.`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await check((offset, length) => readRange(`${file}.part`, offset, length));
    await rename(`${file}.part`, file);
  }

  async #makeRoom(wanted: string): Promise<void> {
    const files = await Promise.all(
      (await readdir(this.#folder)).map(async (name) => ({ name, at: (await stat(join(this.#folder, name))).mtimeMs })),
    );
    const old = files.filter(({ name }) => name !== wanted).sort((a, b) => b.at - a.at);
    for (const { name } of old.slice(MODELS_KEPT - 1)) await rm(join(this.#folder, name), { force: true });
  }
}

const isThere = async (file: string, bytes: number): Promise<boolean> =>
  stat(file).then(
    ({ size }) => size === bytes,
    () => false,
  );
