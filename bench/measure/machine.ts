import { execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';

/** The machine in general words: nothing that identifies it. */
export function describeMachine(): string {
  const cores = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cores[0]?.model ?? 'unknown CPU'}, ${cores.length} cores, ${memory} GiB RAM, Linux, Node ${process.version}`;
}

/** Says so if the machine is already busy with something else: then the figures are worth less. */
export function otherLoad(): string | null {
  const load = loadavg()[0] ?? 0;
  return load > cpus().length / 2 ? `measured on a busy machine (load ${load.toFixed(1)} before)` : null;
}

/** Short commit id; with a + if the tree has changes. */
export function describeCommit(root: string): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  try {
    const changed = git('status', '--porcelain', '--', '.', ':!bench/results', ':!bench/README.md') !== '';
    return git('rev-parse', '--short', 'HEAD') + (changed ? '+' : '');
  } catch {
    return 'unknown';
  }
}
