import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { AegisError } from '@aegis/errors';

const patienceMs = 15_000;

/**
 * Two servers on one store destroy it. If the server named by the pid file still runs with our configuration (its owner died a moment ago),
 * ends it and waits; a pid that now belongs to something else is left alone.
 */
export const endStaleServer = async (pidFile: string, configFile: string): Promise<void> => {
  const pid = Number.parseInt(await readFile(pidFile, 'utf8').catch(() => ''), 10);
  if (Number.isInteger(pid) && pid > 1) {
    for (const until = Date.now() + patienceMs; await runsWith(pid, configFile); await sleep(50)) {
      if (Date.now() > until)
        throw new AegisError('STORE_UNAVAILABLE', `Process ${pid} holds the store and does not end.`);
      signal(pid);
    }
  }
  await rm(pidFile, { force: true });
};

const runsWith = async (pid: number, configFile: string): Promise<boolean> =>
  (await commandLine(pid)).includes(configFile);

const commandLine = async (pid: number): Promise<string> => {
  if (process.platform === 'linux') return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const { stdout } = await promisify(execFile)('ps', ['-o', 'args=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout;
};

const signal = (pid: number): void => {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // gone in between
  }
};
