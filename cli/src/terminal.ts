import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import Table from 'cli-table3';
import type { Failure } from './command-error.ts';

type Style = Parameters<typeof styleText>[0];

export interface TerminalOptions {
  readonly json: boolean;
  readonly stdout?: Writable & { isTTY?: boolean; columns?: number };
  readonly stderr?: Writable & { isTTY?: boolean };
  readonly env?: NodeJS.ProcessEnv;
}

export interface Progress {
  update(done: number): void;
  stop(): void;
}

/**
 * Where a command's words go. For people: tables and lines on stdout, notes and errors on stderr. With `--json`: exactly
 * one JSON value on stdout, given to `result`, and everything else is either dropped or (errors) one JSON value on stderr.
 */
export class Terminal {
  readonly json: boolean;
  readonly #stdout: NonNullable<TerminalOptions['stdout']>;
  readonly #stderr: NonNullable<TerminalOptions['stderr']>;
  readonly #noColour: boolean;
  readonly #closed = new AbortController();
  #resultGiven = false;

  constructor(options: TerminalOptions) {
    this.json = options.json;
    this.#stdout = options.stdout ?? process.stdout;
    this.#stderr = options.stderr ?? process.stderr;
    for (const stream of [this.#stdout, this.#stderr]) {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE') throw error;
        if (stream === this.#stdout) this.#closed.abort(error);
      });
    }
    const env = options.env ?? process.env;
    this.#noColour = (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb';
  }

  /** Aborts when nobody reads stdout any more (`aegis … | head`): there is nothing left to do, and nothing wrong. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Whether a person can see a line being rewritten. */
  get interactive(): boolean {
    return !this.json && this.#stdout.isTTY === true && !this.#noColour;
  }

  style(style: Style, text: string): string {
    return this.interactive ? styleText(style, text, { validateStream: false }) : text;
  }

  /** One line for people on stdout; nothing with `--json`. */
  line(text = ''): void {
    if (!this.json) this.#stdout.write(`${text}\n`);
  }

  /** Text as it is, on stdout whatever the form: help and version. */
  write(text: string): void {
    this.#stdout.write(text);
  }

  /** One line for people on stderr: what is going on, not the answer. Nothing with `--json`. */
  note(text: string): void {
    if (!this.json) this.#stderr.write(`${text}\n`);
  }

  /** A table for people; an empty one says `empty` instead. */
  table(head: readonly string[], rows: readonly (readonly string[])[], empty: string): void {
    if (this.json) return;
    if (rows.length === 0) {
      this.line(empty);
      return;
    }
    const table = new Table({
      head: head.map((text) => this.style('bold', text)),
      chars: noLines,
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    });
    for (const row of rows) table.push([...row]);
    for (const line of table.toString().split('\n')) this.line(line.trimEnd());
  }

  /** The machine-readable answer: printed only with `--json`, and at most once. */
  result(value: unknown): void {
    if (!this.json) return;
    if (this.#resultGiven) throw new Error('a command answers with one JSON value');
    this.#resultGiven = true;
    this.#stdout.write(`${JSON.stringify(value, jsonForm)}\n`);
  }

  failure(failure: Failure): void {
    if (this.json) {
      const { code, message, todo } = failure;
      this.#stderr.write(`${JSON.stringify({ error: { code, message, ...(todo === '' ? {} : { todo }) } })}\n`);
      return;
    }
    this.#stderr.write(`aegis: ${failure.message}\n`);
    if (failure.todo !== '') this.#stderr.write(`  ${failure.todo}\n`);
  }

  /** A bar on a terminal, nothing elsewhere. */
  progress(label: string, total: number, unit: string): Progress {
    const width = 24;
    const update = (done: number) => {
      const share = total <= 0 ? 1 : Math.min(1, done / total);
      const full = Math.round(share * width);
      const bar = '█'.repeat(full) + '░'.repeat(width - full);
      this.transient(`${label} ${bar} ${Math.round(share * 100)}% ${done}/${total} ${unit}`);
    };
    return { update, stop: () => this.clearTransient() };
  }

  /** Rewrites the current line on a terminal; elsewhere nothing is written. */
  transient(text: string): void {
    if (this.interactive) this.#stdout.write(`\r\u001b[2K${text.slice(0, (this.#stdout.columns ?? 100) - 1)}`);
  }

  clearTransient(): void {
    if (this.interactive) this.#stdout.write('\r\u001b[2K');
  }
}

const noLines = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ].map((place) => [place, '']),
);

/** 64-bit ids do not fit a JavaScript number: they travel as decimal text. */
const jsonForm = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value);
