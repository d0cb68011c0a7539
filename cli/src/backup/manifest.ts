import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StreamHead } from '@aegis/bus';
import { z } from 'zod';

/** What a backup holds. It is sealed itself: whoever changes anything of the folder is found out. */
export const manifestShape = z.strictObject({
  version: z.literal(1),
  /** ISO 8601. */
  takenAt: z.string(),
  streams: z.array(
    z.strictObject({
      name: z.string().regex(/^[A-Za-z0-9_-]+$/),
      /** NATS's; backups of the first release do not say. */
      account: z.string().default(''),
      config: z.record(z.string(), z.unknown()),
      state: z.record(z.string(), z.unknown()),
      pieces: z.number().int().min(0),
      /** Which of several tries counts. */
      attempt: z.number().int().min(0),
    }),
  ),
  /** Of NATS, that could be reached, with streams or without; a backup goes back where all of them can be; none: of the first release. */
  accounts: z.array(z.string()).default([]),
  /** Files that were sealed where they lay, by their path in the state directory. */
  files: z.array(z.strictObject({ path: z.string(), bytes: z.number().int(), sha256: z.string() })),
  /** Of the keys that are not here and that a restored state needs, by their path in the state directory. */
  keys: z.record(z.string(), z.string()),
  /** Runs that were under way. */
  openRuns: z.array(z.string()),
  /** Whether runs, rounds and ledger are of one moment as far as runs go. */
  still: z.boolean(),
});
export type Manifest = z.infer<typeof manifestShape>;
export type SavedStream = StreamHead & { readonly pieces: number; readonly attempt: number };

/** Plain keys: never in a backup. A restored state is of no use with others, or dangerous: with another unit key every spent budget looks unspent. */
export const KEY_FILES = [
  'aggregator/keys/aggregator.key',
  'accountant/keys/ledger.key',
  'accountant/keys/statement.pem',
  'keys/unit.key',
  'keys/audit.key',
  'keys/rest.key',
] as const;

/** Of a key of 32 random bytes: it tells whether two are the same, and nothing else. */
export async function fingerprintOf(root: string, path: string): Promise<string | null> {
  const content = await readFile(join(root, path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  return content && createHash('sha256').update('aegis backup: which key\n').update(content).digest('hex');
}
