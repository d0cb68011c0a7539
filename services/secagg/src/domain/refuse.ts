import { AegisError } from '@aegis/errors';

export const over = (why: string): AegisError => new AegisError('SECAGG_ROUND_OVER', why);

/** What no honest node says, refused when it comes: it costs the round nothing. */
export const wrongAnswer = (why: string): AegisError => new AegisError('SECAGG_ANSWER', why);
