import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** The images under test are built from this checkout; no registry is asked. */
export function setup(): void {
  execFileSync(join(import.meta.dirname, '../../deploy/docker/build.sh'), { stdio: 'inherit' });
}
