import { createReadStream } from 'node:fs';
import { link, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type ModelInfo as CoreModelInfo, type DataKey, ModelFile } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { Random } from '@aegis/service-kit';
import type { ModelFormat, ModelInfo } from '../../domain/model.ts';
import type { ModelStore } from '../contract.ts';
import { inCore } from './core-errors.ts';
import type { Depot } from './depot.ts';

const OPEN_FILES = 32;
const PIECE_BYTES = 1024 * 1024;

/** Where the models of all aggregators are kept. */
export interface ModelDepot {
  readonly depot: Depot;
  /** Of the folder, which then only spares fetching; the models used least recently go first. */
  readonly cacheBytes: number;
}

/**
 * Sealed model files in one folder, named by what is in them. With a depot a model is there before anybody hears of it, and the folder has copies of what
 * was used here: what is missing is fetched, and what the depot has no more is gone.
 */
export class ModelDirectory implements ModelStore {
  private readonly folder: string;
  private readonly key: DataKey;
  private readonly random: Random;
  /** Begins the names of what this process is writing: others write in the same folder. */
  private readonly writing: string;
  private readonly opened = new Map<string, Promise<ModelFile>>();
  private readonly shared: ModelDepot | null;

  private constructor(folder: string, key: DataKey, writing: string, random: Random, shared: ModelDepot | null) {
    this.shared = shared;
    this.folder = folder;
    this.key = key;
    this.writing = writing;
    this.random = random;
  }

  /** `place`: of this process among those that work on the folder, held by no other as long as it lives. */
  static async open(
    folder: string,
    key: DataKey,
    place: number,
    random: Random,
    shared: ModelDepot | null = null,
  ): Promise<ModelDirectory> {
    const writing = `writing-${place}-`;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // what the process before this one left that ended in the middle
    for (const name of await readdir(folder))
      if (name.startsWith(writing)) await rm(join(folder, name), { force: true });
    return new ModelDirectory(folder, key, writing, random, shared);
  }

  import(format: ModelFormat, bytes: Uint8Array, maxBytes: number): Promise<ModelInfo> {
    const read = format === 'npz' ? ModelFile.fromNpz : ModelFile.fromSafetensors;
    return this.keep((path, key) => read(bytes, path, key, { maxBytes }));
  }

  async remove(modelId: string): Promise<void> {
    await this.shared?.depot.remove(nameOf(modelId));
    await this.drop(modelId);
  }

  /** What is here of it. */
  private async drop(modelId: string): Promise<void> {
    await rm(this.path(modelId), { force: true });
    const opened = this.opened.get(modelId);
    this.opened.delete(modelId);
    // its bytes are given back with the last open file
    (await opened?.catch(() => undefined))?.close();
  }

  async rename(modelId: string, names: readonly string[]): Promise<ModelInfo> {
    const file = await this.file(modelId);
    const tensors = await Promise.all(
      file.info.tensors.map(async ({ name, dtype, offset, length }, i) => ({
        name: names[i] ?? name,
        npy: await file.read(offset, length),
        dtype,
      })),
    );
    return this.keep((path, key) => ModelFile.fromTensors(tensors, path, key));
  }

  async get(modelId: string): Promise<ModelInfo | null> {
    try {
      if (this.shared !== null && !(await this.shared.depot.has(nameOf(modelId)))) {
        await this.drop(modelId);
        return null;
      }
      return infoOf((await this.file(modelId)).info);
    } catch (error) {
      if (error instanceof AegisError && error.code === 'MODEL_NOT_FOUND') return null;
      throw error;
    }
  }

  async read(modelId: string, offset: number, length: number): Promise<Buffer> {
    const file = await this.file(modelId);
    return inCore(() => file.read(offset, length));
  }

  async *export(modelId: string, format: ModelFormat): AsyncIterable<Buffer> {
    const file = await this.file(modelId);
    const path = this.temporary();
    try {
      await inCore(() => (format === 'npz' ? file.exportNpz(path) : file.exportSafetensors(path)));
      for await (const piece of createReadStream(path, { highWaterMark: PIECE_BYTES })) yield piece as Buffer;
    } finally {
      await rm(path, { force: true });
    }
  }

  /** Has a model written and keeps it under its own name; written twice, the second is the first. */
  async keep(write: (path: string, key: DataKey) => Promise<CoreModelInfo>): Promise<ModelInfo> {
    const path = this.temporary();
    try {
      return await inCore(async () => {
        const info = infoOf(await write(path, this.key));
        await this.shared?.depot.put(nameOf(info.modelId), path);
        await rename(path, this.path(info.modelId));
        await syncFolder(this.folder);
        await this.trim();
        return info;
      });
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /**
   * Has a model written to `path`, which stays where it is, and keeps the same file under its own name. Both ends of the link are that one
   * file, so that what was written there once is what is kept, however often this is asked for.
   */
  async keepAt<T extends { readonly model: CoreModelInfo }>(
    path: string,
    write: (key: DataKey) => Promise<T>,
  ): Promise<{ written: T; model: ModelInfo }> {
    return inCore(async () => {
      const written = await write(this.key);
      const model = infoOf(written.model);
      await this.shared?.depot.put(nameOf(model.modelId), path);
      await link(path, this.path(model.modelId)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      await syncFolder(this.folder);
      return { written, model };
    });
  }

  /** For the core, which reads the model itself. */
  reader(modelId: string): Promise<ModelFile> {
    return this.file(modelId);
  }

  async close(): Promise<void> {
    const files = await Promise.allSettled(this.opened.values());
    this.opened.clear();
    for (const file of files) if (file.status === 'fulfilled') file.value.close();
  }

  private file(modelId: string): Promise<ModelFile> {
    const known = this.opened.get(modelId);
    if (known !== undefined) {
      // the most recently used stands last
      this.opened.delete(modelId);
      this.opened.set(modelId, known);
      return known;
    }
    const opening = this.openFile(modelId);
    this.opened.set(modelId, opening);
    opening.catch(() => this.opened.delete(modelId));
    for (const [oldest, file] of this.opened) {
      if (this.opened.size <= OPEN_FILES) break;
      this.opened.delete(oldest);
      // left to the garbage collector: somebody may be about to read from it
      file.catch(() => {});
    }
    return opening;
  }

  private async openFile(modelId: string): Promise<ModelFile> {
    const path = this.path(modelId);
    const there = await stat(path).catch(() => null);
    if (there === null) await this.fetch(modelId, path);
    const file = await inCore(() => ModelFile.open(path, this.key));
    // whoever may write where models are kept could have given one the name of another
    if (file.info.sha256 === modelId) {
      if (this.shared !== null) await utimes(path, new Date(), new Date()).catch(() => {});
      return file;
    }
    file.close();
    throw new AegisError('MODEL_DAMAGED', `${modelId} holds ${file.info.sha256}.`);
  }

  private async fetch(modelId: string, path: string): Promise<void> {
    const temporary = this.temporary();
    const fetched = await inCore(() => this.shared?.depot.fetch(nameOf(modelId), temporary) ?? false);
    if (!fetched) throw new AegisError('MODEL_NOT_FOUND', modelId);
    await rename(temporary, path);
    await this.trim(modelId);
  }

  /** Removes what the depot has anyway, down to what may lie here. One that is being read stays readable until it is closed. */
  private async trim(kept = ''): Promise<void> {
    if (this.shared === null) return;
    const names = (await readdir(this.folder)).filter((name) => name.endsWith(SUFFIX));
    const found = await Promise.all(
      names.map(async (name) => ({ name, facts: await stat(join(this.folder, name)).catch(() => null) })),
    );
    const files = found.flatMap(({ name, facts }) => (facts === null ? [] : [{ name, facts }]));
    let bytes = files.reduce((sum, { facts }) => sum + facts.size, 0);
    for (const { name, facts } of files.sort((a, b) => a.facts.mtimeMs - b.facts.mtimeMs)) {
      if (bytes <= this.shared.cacheBytes) return;
      if (name === nameOf(kept)) continue;
      await rm(join(this.folder, name), { force: true });
      bytes -= facts.size;
    }
  }

  private path(modelId: string): string {
    if (!/^[0-9a-f]{64}$/.test(modelId)) throw new AegisError('MODEL_NOT_FOUND', modelId.slice(0, 80));
    return join(this.folder, nameOf(modelId));
  }

  private temporary(): string {
    return join(this.folder, `${this.writing}${this.random.bytes(8).toString('hex')}`);
  }
}

const SUFFIX = '.model';
const nameOf = (modelId: string): string => `${modelId}${SUFFIX}`;

const infoOf = (info: CoreModelInfo): ModelInfo => ({ modelId: info.sha256, bytes: info.bytes, tensors: info.tensors });

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}
