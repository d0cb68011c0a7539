import { mkdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CoreError, type DataKey, KeyFile, openFile, sealFile } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { keepFirst, writeFileAtomic } from '@aegis/service-kit';
import type { Stage } from '../domain/masking.ts';
import type { RoundSecrets } from './contract.ts';
import { nameOf } from './files.ts';

const KEY_CONTEXT = 'aegis guard rounds';

/**
 * One sealed file for each task and stage, under a data key that a file of its own wraps (`rounds.key`, readable by its owner alone).
 * Without that file, or with another, every round under way is lost, and says so.
 */
export class SealedRounds implements RoundSecrets {
  readonly #folder: string;
  readonly #key: DataKey;

  private constructor(folder: string, key: DataKey) {
    this.#folder = folder;
    this.#key = key;
  }

  /** GUARD_JOURNAL when the key file is open to others, or no key file at all. */
  static async open(state: string): Promise<SealedRounds> {
    const folder = join(state, 'rounds');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    try {
      const keys = KeyFile.open(join(state, 'rounds.key'), { create: true });
      return new SealedRounds(folder, await dataKeyIn(join(folder, 'key.wrapped'), keys));
    } catch (cause) {
      if (!(cause instanceof CoreError)) throw cause;
      throw new AegisError('GUARD_JOURNAL', `${state}/rounds.key cannot be used: ${cause.message}`, cause);
    }
  }

  async seal(taskId: string, stage: Stage, state: Buffer): Promise<void> {
    try {
      await sealFile(this.#file(taskId, stage), state, this.#key, contextOf(taskId, stage));
    } finally {
      state.fill(0);
    }
  }

  async open(taskId: string, stage: Stage): Promise<Buffer | null> {
    try {
      return await openFile(this.#file(taskId, stage), this.#key, contextOf(taskId, stage));
    } catch (error) {
      if (error instanceof CoreError) return null;
      throw error;
    }
  }

  async dropBefore(taskId: string, stage: Stage): Promise<void> {
    await this.#drop(taskId, `${stage}.sealed`);
  }

  async drop(taskId: string): Promise<void> {
    await this.#drop(taskId, null);
  }

  async dropAllBut(taskIds: readonly string[]): Promise<void> {
    await this.#remove((name) => name.endsWith('.sealed') && !taskIds.includes(name.split('.')[0] ?? ''));
  }

  async #drop(taskId: string, kept: string | null): Promise<void> {
    const front = `${nameOf(taskId)}.`;
    await this.#remove((name) => name.startsWith(front) && name !== `${front}${kept}`);
  }

  async #remove(which: (name: string) => boolean): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (which(name)) await rm(join(this.#folder, name), { force: true });
    }
  }

  #file(taskId: string, stage: Stage): string {
    return join(this.#folder, `${nameOf(taskId)}.${stage}.sealed`);
  }
}

/** A sealed state moved to another task or stage does not open. */
const contextOf = (taskId: string, stage: Stage): string => `${KEY_CONTEXT} ${taskId} ${stage}`;

const dataKeyIn = async (file: string, keys: KeyFile): Promise<DataKey> => {
  const wrapped = await keepFirst(file, () => keys.generate(KEY_CONTEXT).wrapped);
  try {
    return keys.unwrap(wrapped, KEY_CONTEXT);
  } catch (error) {
    if (!(error instanceof CoreError) || error.code !== 'SEAL_BROKEN') throw error;
    const fresh = keys.generate(KEY_CONTEXT);
    await writeFileAtomic(file, fresh.wrapped, 0o600);
    return fresh.key;
  }
};
