import { access } from 'node:fs/promises';
import { type Random, writeFileAtomic } from '@aegis/service-kit';

/**
 * A key of the gateway, made once per state directory. One that is there is left as it is, damaged or not: with a new one for the pseudonyms
 * of units every unit would have a full budget again, with a new one for REST every client would have to register again. The gateway says
 * what is wrong with it.
 */
export async function ensureKeyFile(file: string, random: Random): Promise<void> {
  const isThere = await access(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
  if (!isThere) await writeFileAtomic(file, `${random.bytes(32).toString('hex')}\n`, 0o600);
}
