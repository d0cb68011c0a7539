import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** Names one process for good: its number may be given to another one later. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly host: string;
  /** When it started, in the kernel's own count; '' where the system does not tell. */
  readonly started: string;
}

export const identityOf = (pid: number): ProcessIdentity => ({ pid, host: hostname(), started: startOf(pid) });

/** Whether this very process still runs on this machine; on another machine nobody can know, and it counts as running. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.host !== hostname()) return true;
  try {
    process.kill(identity.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return identity.started === startOf(identity.pid);
}

function startOf(pid: number): string {
  try {
    // Field 22 of stat, counted after the name, which may itself hold spaces and brackets. A zombie has ended.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
