import { access } from 'node:fs/promises';
import { type Random, writeFileAtomic } from '@aegis/service-kit';

/**
 * The key that the gateway makes pseudonyms of units with, made once per state directory. One that is there is left as it is, damaged or
 * not: a new one would give every unit a full budget again. The gateway says what is wrong with it.
 */
export async function ensureUnitKey(file: string, random: Random): Promise<void> {
  const isThere = await access(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
  if (!isThere) await writeFileAtomic(file, `${random.bytes(32).toString('hex')}\n`, 0o600);
}
