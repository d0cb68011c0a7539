import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { treeOf } from './processes.ts';

const PREFERRED = -15;

/** From now on all threads of these processes, and what they start, run on this core alone. */
export function pin(pids: readonly number[], core: number): void {
  for (const pid of pids.flatMap(treeOf))
    execFileSync('taskset', ['-a', '-c', '-p', `${core}`, `${pid}`], { stdio: 'ignore' });
}

/** Goes before others on its core, as far as we may say so: only the superuser may. */
export function prefer(pid: number): void {
  for (const one of treeOf(pid)) {
    try {
      for (const thread of readdirSync(`/proc/${one}/task`)) setPriority(Number(thread), PREFERRED);
    } catch {
      return;
    }
  }
}
