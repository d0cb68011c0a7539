export type Log = (line: string) => void;

/** Progress for people, on stderr; stdout is for the table. */
export const stderrLog: Log = (line) => {
  process.stderr.write(`${line}\n`);
};
