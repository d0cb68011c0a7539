import type { Kind } from '@aegis/errors';

/** What the `aegis` command's exit code says; printed by `aegis --help`. */
export const ExitCode = {
  done: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
  notFound: 5,
  interrupted: 130,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export const exitCodeHelp = `
Exit codes:
  0    done
  1    it failed; the message says why
  2    the command line is wrong
  3    the server cannot be reached, or cannot answer right now
  4    the server refuses the caller (token, key)
  5    there is no such run, node, model or file
  130  ended by Ctrl-C or SIGTERM before it was done`;

export const exitCodeOf = (kind: Kind): ExitCode => {
  switch (kind) {
    case 'unavailable':
      return ExitCode.unreachable;
    case 'unauthenticated':
    case 'forbidden':
      return ExitCode.refused;
    case 'not-found':
      return ExitCode.notFound;
    default:
      return ExitCode.failed;
  }
};
