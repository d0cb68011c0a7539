import { readFile } from 'node:fs/promises';
import { type Random, writeFileAtomic } from '@aegis/service-kit';

/** The token that `aegis` commands show at the operator's door; made once per state directory. */
export async function ensureOperatorToken(file: string, random: Random): Promise<void> {
  const existing = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  if (existing.trim() !== '') return;
  await writeFileAtomic(file, `${random.bytes(32).toString('base64url')}\n`, 0o600);
}
