import { AegisError } from '@aegis/errors';
import type { z } from 'zod';

/** Names the first field that is wrong, never its value. */
export const check = <T>(schema: z.ZodType<T>, value: unknown, what: string): T => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = [what, ...(issue?.path ?? [])].join('.').slice(0, 200);
  throw new AegisError('REQUEST_MALFORMED', `${where}: ${issue?.message.slice(0, 200)}`);
};
