import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';

/** The machine in general words: nothing that identifies it. */
export function describeMachine(): string {
  const cores = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cores[0]?.model ?? 'unknown CPU'}, ${cores.length} cores, ${memory} GiB RAM, Linux, Node ${process.version}`;
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
