import type { Clock, Logger } from '@aegis/service-kit';

/** A program that runs, with everything it started. */
export interface RunningProgram {
  /** Never rejects. */
  readonly ended: Promise<{ readonly code: number | null }>;
  /** Asks it to end, then makes it. */
  end(graceMs: number): Promise<void>;
}

/** Starts a program; what it writes goes where the person who started the guard sees it. */
export type Launch = (command: string, args: readonly string[], env: NodeJS.ProcessEnv) => RunningProgram;

export interface SuperviseOptions {
  readonly command: readonly string[];
  /** The loopback port that is its SuperLink. */
  readonly port: number;
  readonly env: NodeJS.ProcessEnv;
  readonly launch: Launch;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Before each start. */
  readonly onStart: () => void;
  readonly say: (line: string) => void;
}

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;
/** One that ran so long had started well. */
const STEADY_MS = 60_000;
const QUICK_FAILURES = 5;
const GRACE_MS = 10_000;

/** What the guard itself must tell a SuperNode; the owner's command line may say everything else. */
const RESERVED = [
  '--superlink',
  '--insecure',
  '--root-certificates',
  '--auth-supernode-private-key',
  '--auth-supernode-public-key',
];

/** The first of the owner's arguments that is the guard's to give. */
export const reservedArgument = (args: readonly string[]): string | undefined =>
  args.find((argument) => RESERVED.some((name) => argument === name || argument.startsWith(`${name}=`)));

/**
 * Keeps a SuperNode running until the signal, and returns its exit code: 0 when it ended by itself with 0 or was told to end.
 * One that fails is started again, later each time; one that fails five times in a row within a minute is given up.
 */
export const superviseSuperNode = async (options: SuperviseOptions): Promise<number> => {
  const { command, port, launch, clock, log, signal, onStart, say } = options;
  const [program = '', ...args] = command;
  // Every release takes plain text on loopback; its own key would need TLS there, and the guard's certificate is its identity.
  const all = [...args, '--superlink', `127.0.0.1:${port}`, '--insecure'];
  const env = { ...options.env, NO_PROXY: [options.env.NO_PROXY, '127.0.0.1'].filter(Boolean).join(',') };
  let wait = FIRST_WAIT_MS;
  for (let failures = 0; !signal.aborted; ) {
    onStart();
    const began = clock.monotonic();
    const running = launch(program, all, env);
    const onAbort = (): void => void running.end(GRACE_MS);
    signal.addEventListener('abort', onAbort, { once: true });
    const { code } = await running.ended;
    signal.removeEventListener('abort', onAbort);
    // What the program left behind in its group ends with it.
    await running.end(0);
    if (signal.aborted || code === 0) return 0;
    const isSteady = clock.monotonic() - began > STEADY_MS;
    failures = isSteady ? 1 : failures + 1;
    if (isSteady) wait = FIRST_WAIT_MS;
    log.warn({ code, failures }, 'the SuperNode ended');
    if (failures >= QUICK_FAILURES) return code ?? 1;
    say(`the SuperNode ended with ${code ?? 'a signal'}; starting it again in ${Math.round(wait / 1000)} s`);
    await clock.sleep(wait, signal).catch(() => {});
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }
  return 0;
};
