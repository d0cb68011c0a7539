// What the single file runs.
import { runGuardProgram } from '../../cli/src/guard-program.ts';

runGuardProgram(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
