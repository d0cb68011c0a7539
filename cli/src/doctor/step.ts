export interface Step {
  readonly name: string;
  readonly state: 'ok' | 'failed' | 'skipped';
  readonly detail: string;
  /** What to do about a failed step. */
  readonly todo: string;
}

/** A check that found its fault. `todo` is what the reader does next. */
export class Finding extends Error {
  readonly todo: string;

  constructor(what: string, todo: string) {
    super(what);
    this.name = 'Finding';
    this.todo = todo;
  }
}

/** What the checks look at; filled in from the command line. */
export interface Patient {
  readonly host: string;
  readonly port: number;
  readonly ca?: string | undefined;
  readonly insecure: boolean;
  /** Text of a node's private key file. */
  readonly nodeKey?: string | undefined;
  /** This machine's clock, Unix milliseconds. */
  readonly now: () => number;
  readonly timeoutMs: number;
}

/** Says in words what was found to be right. */
export type Check = (patient: Patient) => Promise<string>;

export const errorCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';
export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Waits for `work`; after the patient's time limit its signal is raised and `late` is thrown. */
export async function within<T>(
  patient: Patient,
  late: Finding,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = AbortSignal.timeout(patient.timeoutMs);
  const expired = new Promise<never>((_, reject) =>
    limit.addEventListener('abort', () => reject(late), { once: true }),
  );
  return await Promise.race([work(limit), expired]);
}
