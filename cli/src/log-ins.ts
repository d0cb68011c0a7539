import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '@aegis/service-kit';
import { z } from 'zod';
import { CommandError } from './command-error.ts';

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

export async function readLogIn(env: NodeJS.ProcessEnv, address: string): Promise<LogIn | undefined> {
  return (await readAll(logInsFile(env)))[address];
}

/** undefined: forgets it. */
export async function keepLogIn(env: NodeJS.ProcessEnv, address: string, given: LogIn | undefined): Promise<void> {
  const file = logInsFile(env);
  const { [address]: _, ...others } = await readAll(file);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const all = given === undefined ? others : { ...others, [address]: given };
  await writeFileAtomic(file, `${JSON.stringify(all, null, 2)}\n`, 0o600);
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
