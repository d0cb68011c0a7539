import { CommandError } from '../command-error.ts';
import { runToEnd } from '../python.ts';
import type { Report } from './verdict.ts';

/** Lets the app's own Python reload the exported model, test it on images no node has seen, and train every node alone. */
export async function reportOn(options: {
  readonly model: string;
  readonly app: string;
  readonly python: string;
  readonly nodes: number;
  readonly rounds: number;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}): Promise<Report> {
  const { model, app, python, nodes, rounds, env, signal } = options;
  const args = ['-m', 'digits_numpy.report', model, '--nodes', `${nodes}`, '--rounds', `${rounds}`, '--json'];
  const run = await runToEnd(python, args, {
    cwd: app,
    env: { ...env, PYTHONPATH: app, PYTHONDONTWRITEBYTECODE: '1' },
    signal,
  });
  if (run.code === 0) return JSON.parse(run.stdout) as Report;
  throw new CommandError('REPORT_FAILED', `The exported model could not be judged.\n${run.stderr.trim()}`);
}
