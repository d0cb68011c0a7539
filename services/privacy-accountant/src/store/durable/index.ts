import { type KeyObject, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import { keepFirst } from '@aegis/service-kit';
import type { Stores } from '../contract.ts';
import { journalHistory } from '../journal-history.ts';
import { FileAnchor } from './file-anchor.ts';
import { fileSnapshots } from './file-snapshots.ts';
import { ledgerKey, statementKey } from './keys.ts';
import { busLease } from './lease.ts';

export interface DurableStores extends Stores {
  /** The same for every process on this state directory. */
  readonly owner: string;
  /** Signs statements. */
  readonly signer: KeyObject;
}

/** History and lease on the bus; keys, anchor and snapshot in the state directory: `owner anchor snapshot keys/ledger.key keys/statement.pem`. */
export async function openDurableStores(bus: Bus, stateDir: string, anchorFile?: string): Promise<DurableStores> {
  try {
    await mkdir(join(stateDir, 'keys'), { recursive: true, mode: 0o700 });
    const key = await ledgerKey(join(stateDir, 'keys', 'ledger.key'));
    const signer = await statementKey(join(stateDir, 'keys', 'statement.pem'));
    const owner = await keepFirst(join(stateDir, 'owner'), () => Buffer.from(`${randomBytes(16).toString('hex')}\n`));
    const anchor = new FileAnchor(anchorFile ?? join(stateDir, 'anchor'), key);
    return {
      ...{ owner: owner.toString('utf8').trim(), signer, anchor },
      snapshots: fileSnapshots(join(stateDir, 'snapshot'), key),
      history: journalHistory(await bus.journal('privacy-ledger'), key),
      lease: await busLease(bus),
      close: () => anchor.close(),
    };
  } catch (error) {
    if (error instanceof AegisError || !('code' in (error as object))) throw error;
    throw new AegisError('STORE_UNAVAILABLE', `state-dir: ${stateDir} cannot be used.`, error);
  }
}
