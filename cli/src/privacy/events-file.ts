import { readFile } from 'node:fs/promises';
import { CoreError } from '@aegis/core-native';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { CommandError } from '../command-error.ts';
import { ExitCode } from '../exit-codes.ts';

/** What every question about privacy is asked with. */
export interface EventsOptions {
  events: string;
  delta: number;
}

export const withEvents = (command: Command): Command =>
  command
    .requiredOption('--events <file>', 'list of events as JSON (docs/privacy-events.md)')
    .requiredOption('--delta <delta>', 'above 0 and below 1, e.g. 1e-5', parseReal);

/** Any finite number; what it may be is for the accounting to say. */
export function parseReal(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

/** Asks about the text of an events file. What the core refuses comes back with the file, the row and the field. */
export async function askAbout<T>(file: string, ask: (events: string) => Promise<T>): Promise<T> {
  const text = await readFile(file, 'utf8');
  try {
    return await ask(text);
  } catch (error) {
    if (error instanceof CoreError) throw refusal(file, error);
    throw error;
  }
}

function refusal(file: string, { code, message, detail }: CoreError): CommandError {
  const sentence = message.replace(`${code}: `, '');
  const got = detail.got === undefined ? '' : ` (got ${detail.got})`;
  const place = detail.row === undefined ? '' : `row ${detail.row}, `;
  const where = code === 'PRIVACY_EVENT' ? `${file}: ${place}` : '';
  const more = Object.entries(detail).filter(([name]) => !['row', 'field', 'got'].includes(name));
  const rest = more.map(([name, value]) => ` ${name} ${value}.`).join('');
  return new CommandError(code, `${where}${sentence}${got}.${rest}`, {
    todo: TODO[code] ?? '',
    exitCode: ExitCode.failed,
    cause: detail,
  });
}

const TODO: Partial<Record<CoreError['code'], string>> = {
  PRIVACY_EVENT: 'docs/privacy-events.md has the vocabulary: fields, ranges and what goes together.',
  PRIVACY_PARAMETER: 'Give --delta above 0 and below 1, and --epsilon above 0.',
  PRIVACY_UNBOUNDED: 'These events give no finite guarantee: add noise or take rounds away.',
  PRIVACY_UNREACHABLE:
    'Rows that keep their own noise cost more than the whole epsilon: give them more noise, or fewer rounds.',
};
