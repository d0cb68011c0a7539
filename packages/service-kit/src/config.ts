import { readFileSync } from 'node:fs';
import { AegisError } from '@aegis/errors';
import { parseDocument } from 'yaml';
import { type ZodError, type ZodType, z } from 'zod';
import { Secret } from './secret.ts';

/**
 * Reads one YAML file against a strict schema (use `z.strictObject`) and freezes what comes out.
 * Every complaint is CONFIG_INVALID and names the file and the key. Secrets are named by file (`secretFile`).
 */
export const loadConfig = <T>(file: string, schema: ZodType<T>): T => {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new AegisError('CONFIG_INVALID', `${file} cannot be read.`, error);
  }
  return parseConfig(text, schema, file);
};

/** As loadConfig, from text; `name` is what complaints call it. */
export const parseConfig = <T>(text: string, schema: ZodType<T>, name: string): T => {
  // Warnings would go to stderr, and quote the file.
  const document = parseDocument(text, { uniqueKeys: true, logLevel: 'error' });
  const [syntax] = document.errors;
  if (syntax !== undefined) throw new AegisError('CONFIG_INVALID', `${name}: ${syntax.message.split('\n')[0]}`);
  return checkConfig(plainValue(document, name) ?? {}, schema, name);
};

/** What is wrong with aliases, or with how often they are used, is found only here. */
const plainValue = (document: ReturnType<typeof parseDocument>, name: string): unknown => {
  try {
    return document.toJS();
  } catch (cause) {
    throw new AegisError('CONFIG_INVALID', `${name}: ${(cause as Error).message.split('\n')[0]}`, cause);
  }
};

/** As loadConfig, from a value already in memory. */
export const checkConfig = <T>(value: unknown, schema: ZodType<T>, name: string): T => {
  const result = schema.safeParse(value);
  if (!result.success) throw new AegisError('CONFIG_INVALID', `${name}: ${complaint(result.error)}`);
  return deepFreeze(result.data);
};

/** A path in the file, a Secret in the config. The trailing newline editors leave is not part of the secret. */
export const secretFile = z
  .string()
  .min(1)
  .transform((path, context): Secret => {
    try {
      const value = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
      if (value !== '') return new Secret(value);
      context.addIssue({ code: 'custom', message: `${path} is empty` });
    } catch {
      context.addIssue({ code: 'custom', message: `${path} cannot be read` });
    }
    return z.NEVER;
  });

// The first few are enough to act on; values are not repeated, as one may be a secret put in the wrong place.
const complaint = (error: ZodError): string =>
  error.issues
    .slice(0, 3)
    .flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => `${pathText([...issue.path, key])} is not a known key`)
        : `${pathText(issue.path)}: ${issue.message}`,
    )
    .join('; ');

const pathText = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  ) || 'the file';

const deepFreeze = <T>(value: T): T => {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value) || ArrayBuffer.isView(value)) return value;
  for (const child of Object.values(value)) deepFreeze(child);
  return Object.freeze(value);
};
