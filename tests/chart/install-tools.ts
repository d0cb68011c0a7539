import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const scripts = join(import.meta.dirname, '../../scripts');

export function setup(): void {
  execFileSync(join(scripts, 'helm.sh'), { stdio: 'inherit' });
  execFileSync(join(scripts, 'nats-server.sh'), { stdio: 'inherit' });
}
