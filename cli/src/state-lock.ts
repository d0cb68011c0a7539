import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError } from './command-error.ts';
import { identityOf, isAlive, type ProcessIdentity } from './processes/process-identity.ts';

/** Who holds a state directory; undefined when nobody does. */
export const lockHolder = async (file: string): Promise<ProcessIdentity | undefined> => holderOf(await locksAt(file));

/**
 * Takes a state directory for this process: one suite at a time. The lock of a process that is gone counts for nothing.
 * Returns the way to give it back.
 *
 * The first lock is the file itself; behind a dead one the next is made, `lock.1`, `lock.2`, …, which one alone can do. Nobody removes a lock to take its place: by the time
 * it is removed it may be somebody else's. Who has made one looks around, and has it if no other lives: of two that see different ends of a row, one sees the other.
 */
export async function lockState(file: string, root: string): Promise<() => Promise<void>> {
  const own = `${file}.${randomUUID()}`;
  await writeFile(own, JSON.stringify({ ...identityOf(process.pid), nonce: randomUUID() }), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 20; attempt++) {
      const before = await locksAt(file);
      const holder = holderOf(before);
      if (holder !== undefined) throw taken(holder, root);
      const last = before.at(-1);
      const place = last === undefined ? file : `${file}.${last.number + 1}`;
      if (!(await tookPlace(own, place))) continue;
      const others = (await locksAt(file)).filter(({ path }) => path !== place);
      if (holderOf(others) === undefined) {
        for (const { path } of others) await rm(path, { force: true });
        return () => rm(place, { force: true });
      }
      await rm(place, { force: true });
      await sleep(50 * Math.random());
    }
    throw new CommandError('STATE_LOCKED', `The lock ${file} changes hands all the time.`);
  } finally {
    await rm(own, { force: true });
  }
}

interface Lock {
  readonly path: string;
  readonly number: number;
  /** undefined: it says nobody's name. */
  readonly by: ProcessIdentity | undefined;
}

/** In the order in which they were made. */
async function locksAt(file: string): Promise<Lock[]> {
  const [folder, name] = [dirname(file), basename(file)];
  const names = await readdir(folder).catch((): string[] => []);
  const numbered = names.flatMap((found) => {
    const number = found === name ? 0 : Number(/^\.(\d{1,9})$/.exec(found.slice(name.length))?.[1]);
    return found.startsWith(name) && Number.isInteger(number) ? [{ path: join(folder, found), number }] : [];
  });
  const locks = await Promise.all(numbered.map(async (one) => ({ ...one, by: identityIn(await readText(one.path)) })));
  return locks.sort((one, other) => one.number - other.number);
}

const holderOf = (locks: readonly Lock[]): ProcessIdentity | undefined =>
  locks.map(({ by }) => by).find((by) => by !== undefined && isAlive(by));

async function tookPlace(own: string, place: string): Promise<boolean> {
  try {
    await link(own, place);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

const taken = (holder: ProcessIdentity, root: string): CommandError =>
  new CommandError('STATE_LOCKED', `A suite is running in ${root} already (process ${holder.pid} on ${holder.host}).`, {
    todo: 'Stop it with `aegis down`, or choose another state directory with --state DIR.',
  });

/** "" for what is gone meanwhile. */
const readText = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });

function identityIn(text: string): ProcessIdentity | undefined {
  try {
    const { pid, host, started } = JSON.parse(text) as ProcessIdentity;
    return typeof pid === 'number' ? { pid, host: String(host), started: String(started) } : undefined;
  } catch {
    return undefined;
  }
}
