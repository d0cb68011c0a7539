import { type KeyObject, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '@aegis/bus';
import { dataKeyAt, type KeyWrapper, type S3Objects, untilReachable } from '@aegis/cloud';
import { AegisError } from '@aegis/errors';
import { type Clock, keepFirst, type Logger, silentLogger, systemClock } from '@aegis/service-kit';
import type { Anchor, Stores } from '../contract.ts';
import { journalHistory } from '../journal-history.ts';
import { FileAnchor } from './file-anchor.ts';
import { fileSnapshots } from './file-snapshots.ts';
import { ledgerKey, statementKey } from './keys.ts';
import { busLease } from './lease.ts';
import { S3Anchor } from './s3-anchor.ts';

export interface DurableStores extends Stores {
  /** The same for every process on this state directory. */
  readonly owner: string;
  /** Signs statements. */
  readonly signer: KeyObject;
}

/** What lies outside of the state directory. */
export interface Outside {
  /** Default: the file `anchor` in the state directory. */
  readonly anchor?: { readonly file: string } | { readonly objects: S3Objects; readonly name: string } | undefined;
  /** Seals the keys in the state directory; without it they lie there as they are, mode 0600. */
  readonly keys?: KeyWrapper | undefined;
  readonly log?: Logger;
  readonly clock?: Clock;
}

/**
 * History and lease on the bus; keys, anchor and snapshot in the state directory: `owner anchor snapshot keys/ledger.key keys/statement.pem`. While somebody
 * outside does not answer, this waits and says so.
 */
export async function openDurableStores(bus: Bus, stateDir: string, outside: Outside = {}): Promise<DurableStores> {
  const { log = silentLogger, clock = systemClock } = outside;
  const patiently = <T>(work: () => Promise<T>): Promise<T> => untilReachable(work, { log, clock });
  try {
    const folder = join(stateDir, 'keys');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const { keys } = outside;
    const sealing =
      keys === undefined
        ? null
        : await patiently(() => dataKeyAt(join(folder, 'accountant.wrapped'), 'accountant/keys', keys));
    const key = await ledgerKey(join(folder, 'ledger.key'), sealing);
    const signer = await statementKey(join(folder, 'statement.pem'), sealing);
    const owner = await keepFirst(join(stateDir, 'owner'), () => Buffer.from(`${randomBytes(16).toString('hex')}\n`));
    const place = outside.anchor ?? { file: join(stateDir, 'anchor') };
    const file = 'file' in place ? new FileAnchor(place.file, key) : null;
    const object = 'file' in place ? null : new S3Anchor(place.objects, place.name, key);
    if (object !== null) await patiently(() => object.check());
    return {
      ...{ owner: owner.toString('utf8').trim(), signer, anchor: (file ?? object) as Anchor },
      snapshots: fileSnapshots(join(stateDir, 'snapshot'), key),
      history: journalHistory(await bus.journal('privacy-ledger'), key),
      lease: await busLease(bus),
      close: async () => file?.close(),
    };
  } catch (error) {
    if (error instanceof AegisError || !('code' in (error as object))) throw error;
    throw new AegisError('STORE_UNAVAILABLE', `state-dir: ${stateDir} cannot be used.`, error);
  }
}
