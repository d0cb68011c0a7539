import { join } from 'node:path';
import { CommandError } from '../command-error.ts';
import { projectRoot, runToEnd } from '../python.ts';

/** Where a release's programs lie. */
export type Environments = ReadonlyMap<string, string>;

/**
 * One Python environment per Flower release; the first time they are installed, afterwards this costs nothing.
 * Two at a time: pip waits for the network as much as it works.
 */
export async function prepareEnvironments(
  releases: readonly string[],
  options: { env: NodeJS.ProcessEnv; signal: AbortSignal; say: (text: string) => void },
): Promise<Environments> {
  const found = new Map<string, string>();
  const waiting = [...releases];
  const work = async () => {
    for (let release = waiting.shift(); release !== undefined; release = waiting.shift()) {
      found.set(release, await prepare(release, options));
    }
  };
  await Promise.all([work(), work()]);
  return found;
}

async function prepare(
  release: string,
  { env, signal, say }: { env: NodeJS.ProcessEnv; signal: AbortSignal; say: (text: string) => void },
): Promise<string> {
  const script = join(projectRoot, 'scripts', 'flwr-venv.sh');
  const run = await runToEnd(script, [release, 'scikit-learn'], {
    env,
    signal,
    onLine: (line) => {
      if (line.startsWith('flwr-venv:')) say(line.replace(/^flwr-venv: /, ''));
    },
  });
  const folder = run.stdout.trim();
  if (run.code === 0 && folder !== '') return folder;
  throw new CommandError('FLWR_NOT_INSTALLED', `flwr ${release} could not be installed.\n${run.stderr.trim()}`, {
    todo: 'Check that pip reaches a package index, and run the demo again: it goes on where it stopped.',
  });
}
