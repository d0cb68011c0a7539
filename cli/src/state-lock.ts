import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError } from './command-error.ts';
import { identityOf, isAlive, type ProcessIdentity } from './processes/process-identity.ts';

/** Who holds a state directory; undefined when nobody does. */
export async function lockHolder(file: string): Promise<ProcessIdentity | undefined> {
  const holder = identityIn(await readText(file));
  return holder !== undefined && isAlive(holder) ? holder : undefined;
}

/**
 * Takes a state directory for this process: one suite at a time. The lock of a process that is gone counts for nothing.
 * Returns the way to give it back.
 */
export async function lockState(file: string, root: string): Promise<() => Promise<void>> {
  const own = `${file}.${randomUUID()}`;
  const mine = JSON.stringify({ ...identityOf(process.pid), nonce: randomUUID() });
  await writeFile(own, mine, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 20; attempt++) {
      if (await tookPlace(own, file)) {
        // Whoever is still removing a dead lock may have moved ours, and somebody else may stand there by now.
        if (attempt > 0) await sleep(50);
        if ((await readText(file)) === mine) return () => rm(file, { force: true });
        continue;
      }
      const found = await readText(file);
      const holder = identityIn(found);
      if (holder !== undefined && isAlive(holder)) throw taken(holder, root);
      await removeDead(file, found);
    }
    throw new CommandError('STATE_LOCKED', `The lock ${file} changes hands all the time.`);
  } finally {
    await rm(own, { force: true });
  }
}

async function tookPlace(own: string, file: string): Promise<boolean> {
  try {
    await link(own, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Moves the lock away first; one that was not the dead one after all is put back. */
async function removeDead(file: string, dead: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  try {
    await rename(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if ((await readText(aside)) !== dead) await tookPlace(aside, file);
  await rm(aside, { force: true });
}

const taken = (holder: ProcessIdentity, root: string): CommandError =>
  new CommandError('STATE_LOCKED', `A suite is running in ${root} already (process ${holder.pid} on ${holder.host}).`, {
    todo: 'Stop it with `aegis down`, or choose another state directory with --state DIR.',
  });

const readText = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');

function identityIn(text: string): ProcessIdentity | undefined {
  try {
    const { pid, host, started } = JSON.parse(text) as ProcessIdentity;
    return typeof pid === 'number' ? { pid, host: String(host), started: String(started) } : undefined;
  } catch {
    return undefined;
  }
}
