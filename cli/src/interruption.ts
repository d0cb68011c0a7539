/** The reason an interrupted command's signal carries. */
export class Interrupted extends Error {
  readonly signalName: NodeJS.Signals;

  constructor(signalName: NodeJS.Signals) {
    super(`ended by ${signalName}`);
    this.name = 'Interrupted';
    this.signalName = signalName;
  }
}

const lastThings = new Set<() => void>();

/** Something that must happen however the process ends, short of SIGKILL: synchronous. Returns the way to take it back. */
export function atExit(action: () => void): () => void {
  lastThings.add(action);
  return () => lastThings.delete(action);
}

/** SIGINT, SIGTERM or SIGHUP raises the signal, so that the command ends what it started; a second one ends the process at once. */
export function listenForInterruption(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130);
      controller.abort(new Interrupted(name));
    });
  }
  process.once('exit', () => {
    for (const action of lastThings) action();
  });
  return controller.signal;
}

/** Resolves when the signal is raised. */
export const raised = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** Resolves with an error that nobody caught: a bug, after which the process must not go on, but may still end in order. */
export const uncaughtError = (): Promise<unknown> =>
  new Promise((resolve) => process.once('uncaughtException', resolve).once('unhandledRejection', resolve));
