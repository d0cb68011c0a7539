import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AegisError } from '@aegis/errors';
import { writeFileAtomic } from '@aegis/service-kit';
import type { IdentityStore } from './contract.ts';

/** `identity/node.key` (0600) and `identity/node.pem`, each written whole or not at all. */
export class IdentityFiles implements IdentityStore {
  readonly #key: string;
  readonly #chain: string;

  constructor(state: string) {
    this.#key = join(state, 'identity', 'node.key');
    this.#chain = join(state, 'identity', 'node.pem');
  }

  async key(): Promise<string | null> {
    const pem = await contentOf(this.#key);
    if (pem !== null && ((await stat(this.#key)).mode & 0o077) !== 0) {
      throw new AegisError('CONFIG_INVALID', `${this.#key} is open to other users of this machine: chmod 600 it.`);
    }
    return pem;
  }

  keepKey(pem: string): Promise<void> {
    return writeFileAtomic(this.#key, pem, 0o600);
  }

  chain(): Promise<string | null> {
    return contentOf(this.#chain);
  }

  keepChain(pem: string): Promise<void> {
    return writeFileAtomic(this.#chain, pem);
  }
}

const contentOf = async (file: string): Promise<string | null> => {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new AegisError('CONFIG_INVALID', `${file} cannot be read.`, error);
  }
};
