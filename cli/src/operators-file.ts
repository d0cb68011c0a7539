import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '@aegis/service-kit';
import { CommandError } from './command-error.ts';

// The file that gateways read (`operators-file`): names, roles and hashes. The tokens themselves are shown once and kept nowhere.

export const ROLES = ['viewer', 'runner', 'auditor', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export interface OperatorRecord {
  readonly name: string;
  readonly role: Role;
  readonly sha256: string;
  /** ISO 8601; absent: good until it is taken back. */
  readonly expires?: string;
}

export const readOperators = async (file: string): Promise<OperatorRecord[]> => {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{"operators":[]}';
    throw error;
  });
  try {
    return (JSON.parse(text) as { operators: OperatorRecord[] }).operators.map((one) => ({ ...one }));
  } catch (cause) {
    throw new CommandError('OPERATORS_DAMAGED', `${file} is no list of operators.`, {
      todo: 'Restore it from a copy, or move it away: then only the first operator has a token.',
      cause,
    });
  }
};

export const writeOperators = (file: string, operators: readonly OperatorRecord[]): Promise<void> =>
  writeFileAtomic(file, `${JSON.stringify({ operators }, null, 2)}\n`, 0o600);

export const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');
