import { Writable } from 'node:stream';
import { Terminal } from './terminal.ts';

/** A stream that keeps what is written to it. */
export function keeping(): { stream: Writable; text: () => string } {
  let kept = '';
  const stream = new Writable({
    write(piece, _encoding, done) {
      kept += piece.toString();
      done();
    },
  });
  return { stream, text: () => kept };
}

/** A terminal nobody looks at. */
export function captured(options: { json: boolean }) {
  const out = keeping();
  const err = keeping();
  const terminal = new Terminal({ ...options, stdout: out.stream, stderr: err.stream, env: {} });
  return { terminal, stdout: out.text, stderr: err.text };
}
