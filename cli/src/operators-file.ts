import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type OperatorRecord, operatorsFile } from '@aegis/gateway/operators-file';
import { writeFileAtomic } from '@aegis/service-kit';
import { CommandError } from './command-error.ts';

// The file that gateways read (`operators-file`): names, roles and hashes. The tokens themselves are shown once and kept nowhere.

export const readOperators = async (file: string): Promise<OperatorRecord[]> => {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{"operators":[]}';
    throw error;
  });
  try {
    return operatorsFile.parse(JSON.parse(text)).operators;
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
