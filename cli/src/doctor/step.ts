import type { SecureVersion } from 'node:tls';

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

/** The certificate a node or guard shows, as its files have it. */
export interface OwnIdentity {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  /** The key's file can be read by others than its owner. */
  readonly isOpenToOthers: boolean;
}

/** What the checks look at; filled in from the command line. */
export interface Patient {
  readonly host: string;
  readonly port: number;
  readonly ca?: string | undefined;
  /** Name that the gateway's certificate must have; default: its host. */
  readonly serverName?: string | undefined;
  readonly insecure: boolean;
  /** Text of a node's private key file. */
  readonly nodeKey?: string | undefined;
  readonly own?: OwnIdentity | undefined;
  /** The newest TLS that this machine speaks; default: what Node allows. */
  readonly maxVersion?: SecureVersion | undefined;
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
