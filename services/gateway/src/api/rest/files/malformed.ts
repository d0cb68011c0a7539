import { AegisError } from '@aegis/errors';

/** REPLY_MALFORMED: what a node sent is no such file, or not of the task's model. */
export const malformed = (detail: string, cause?: unknown): AegisError =>
  new AegisError('REPLY_MALFORMED', detail, cause);

/** A name as the node wrote it, as long as a message bears. */
export const shown = (name: string): string => name.slice(0, 100);
