import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFileAtomic } from '@aegis/service-kit';
import { z } from 'zod';
import { CommandError } from './command-error.ts';
import { type Connection, formatAddress } from './connection.ts';
import { lockState } from './state-lock.ts';

const logIn = z.object({
  /** ID token of the provider; shown to the server with every call. */
  idToken: z.string().min(1),
  /** "none": the provider gave none. */
  refreshToken: z.string().min(1),
  /** Unix milliseconds, of this machine's clock: when the server last gave them. */
  at: z.number(),
});
export type LogIn = z.infer<typeof logIn>;
const logIns = z.record(z.string(), logIn);

/** Where `aegis login` keeps what it was given, by address: $XDG_CONFIG_HOME/aegis/log-ins.json, for its owner only. */
export const logInsFile = (env: NodeJS.ProcessEnv): string =>
  join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), '.config'), 'aegis', 'log-ins.json');

/** Under which a server's log-in is kept: one over TLS is shown to nobody in plain text. */
export const logInPlace = (connection: Connection): string =>
  `${connection.insecure ? 'http' : 'https'}://${formatAddress(connection)}`;

export async function readLogIn(env: NodeJS.ProcessEnv, place: string): Promise<LogIn | undefined> {
  return (await readAll(logInsFile(env)))[place];
}

/** Changes what is kept there, one command at a time: a refresh token works once. undefined: nothing. */
export async function changeLogIn(
  env: NodeJS.ProcessEnv,
  place: string,
  change: (kept: LogIn | undefined) => Promise<LogIn | undefined>,
): Promise<LogIn | undefined> {
  const file = logInsFile(env);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const unlock = await lockPatiently(`${file}.lock`);
  try {
    const { [place]: kept, ...others } = await readAll(file);
    const changed = await change(kept);
    const all = changed === undefined ? others : { ...others, [place]: changed };
    if (changed !== kept) await writeFileAtomic(file, `${JSON.stringify(all, null, 2)}\n`, 0o600);
    return changed;
  } finally {
    await unlock();
  }
}

/** Another command asks the server behind it: that takes seconds at most. */
async function lockPatiently(file: string): Promise<() => Promise<void>> {
  for (const until = performance.now() + 40_000; ; await sleep(50)) {
    try {
      return await lockState(file, dirname(file));
    } catch (error) {
      if (performance.now() > until) throw error;
    }
  }
}

async function readAll(file: string): Promise<Record<string, LogIn>> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  try {
    return logIns.parse(JSON.parse(text));
  } catch (cause) {
    throw new CommandError('LOG_INS_DAMAGED', `${file} is no list of log-ins.`, {
      todo: 'Move it away, and type `aegis login` again for each server.',
      cause,
    });
  }
}
