import { AegisError } from '@aegis/errors';
import { ExitCode, exitCodeOf } from './exit-codes.ts';

/** Something on this machine is not as the command needs it. `todo` is the next thing to type or to check. */
export class CommandError extends Error {
  readonly code: string;
  readonly todo: string;
  readonly exitCode: ExitCode;

  constructor(code: string, message: string, options: { todo?: string; exitCode?: ExitCode; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'CommandError';
    this.code = code;
    this.todo = options.todo ?? '';
    this.exitCode = options.exitCode ?? ExitCode.failed;
  }
}

export interface Failure {
  code: string;
  message: string;
  todo: string;
  exitCode: ExitCode;
}

const systemErrors: Record<string, string> = {
  ENOENT: 'There is no such file or folder.',
  EACCES: 'The file system denies access.',
  EISDIR: 'A folder stands where a file is wanted.',
  ENOSPC: 'The disk is full.',
};

/** Everything a command can throw, as one failure that can be printed. */
export function failureOf(caught: unknown): Failure {
  if (caught instanceof CommandError) {
    return { code: caught.code, message: caught.message, todo: caught.todo, exitCode: caught.exitCode };
  }
  if (caught instanceof AegisError) {
    const message = caught.code === 'INTERNAL' && caught.cause instanceof Error ? caught.cause.message : caught.message;
    return { code: caught.code, message, todo: caught.entry.todo, exitCode: exitCodeOf(caught.entry.kind) };
  }
  const error: NodeJS.ErrnoException = caught instanceof Error ? caught : new Error(String(caught));
  const words = error.code === undefined ? undefined : systemErrors[error.code];
  if (words !== undefined) {
    const path = error.path === undefined ? '' : `${error.path}: `;
    const exitCode = error.code === 'ENOENT' ? ExitCode.notFound : ExitCode.failed;
    return { code: String(error.code), message: `${path}${words}`, todo: '', exitCode };
  }
  return { code: error.code ?? 'FAILED', message: error.message, todo: '', exitCode: ExitCode.failed };
}
