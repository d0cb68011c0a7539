// The data owner's guard as a container, as docs/guard.md says: on the network of its SuperNode, which here is this machine's.
import { execFileSync } from 'node:child_process';
import { chownSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root, version } from '../../scripts/assemble/workspaces.ts';
import { docker } from './compose.ts';
import { freePort, type Suite } from './suite-in-containers.ts';

export interface GuardContainer {
  /** Where a SuperNode finds it. */
  readonly address: string;
  audit(): Record<string, unknown>[];
  logs(): string;
  /** Tells it to end; the exit code. */
  stopped(): string;
  stop(): void;
}

export async function startGuard(suite: Suite): Promise<GuardContainer> {
  const [etc, state] = [join(suite.folder, 'guard-etc'), join(suite.folder, 'guard-state')];
  for (const folder of [etc, state]) mkdirSync(folder);
  const issue = ['ca', 'issue', 'hospital-a', '--kind', 'guard', '--dir', suite.authority, '--out', etc, '--json'];
  execFileSync(join(root, 'node_modules/.bin/aegis'), issue, { stdio: 'pipe' });
  copyFileSync(suite.ca, join(etc, 'ca.pem'));
  writeFileSync(join(etc, 'policy.yaml'), 'apps: ["aegis/*"]\n');
  const [uid, gid] = [process.getuid?.() || 10001, process.getgid?.() || 10001];
  if (process.getuid?.() === 0) for (const path of [state, join(etc, 'hospital-a.key')]) chownSync(path, uid, gid);
  const address = `127.0.0.1:${await freePort()}`;
  const id = docker(
    ...['run', '--detach', '--network', 'host', '--user', `${uid}:${gid}`, '--read-only', '--cap-drop', 'ALL'],
    ...['--volume', `${etc}:/etc/aegis:ro`, '--volume', `${state}:/var/lib/aegis`, `aegis/guard:${version}`],
    ...['--listen', address, '--server', suite.address, '--ca', '/etc/aegis/ca.pem', '--state', '/var/lib/aegis'],
    ...['--certificate', '/etc/aegis/hospital-a.pem', '--key', '/etc/aegis/hospital-a.key'],
    ...['--policy', '/etc/aegis/policy.yaml'],
  );
  const logs = (): string => execFileSync('sh', ['-c', `docker logs ${id} 2>&1`], { encoding: 'utf8' });
  const inspect = (what: string): string => docker('inspect', '--format', `{{.State.${what}}}`, id);
  while (!logs().includes('waiting for a SuperNode')) {
    if (inspect('Status') === 'exited') throw new Error(`the guard ended:\n${logs()}`);
    await sleep(200);
  }
  return {
    address,
    audit: () =>
      readFileSync(join(state, 'audit.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    logs,
    stopped: () => {
      docker('stop', '--time', '25', id);
      return inspect('ExitCode');
    },
    stop: () => docker('rm', '--force', id),
  };
}
