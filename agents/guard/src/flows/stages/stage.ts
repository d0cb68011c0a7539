import type { SecaggClient } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import type { ZodType } from 'zod';
import type { MaskedRound } from '../../domain/masked-round.ts';
import type { Masking, Stage } from '../../domain/masking.ts';
import type { Guard } from '../guard.ts';
import type { Signing } from '../signing.ts';

/** What a stage works on. It answers by {@link answered}, or throws why the round is over. */
export interface StageWork {
  readonly guard: Guard;
  readonly signing: Signing;
  readonly round: MaskedRound;
  readonly masking: Masking;
  readonly client: SecaggClient;
  /** JSON, of a server that may lie. */
  readonly request: string;
}

/** Journalled before it leaves: first the secrets that the next stages need, then what is said. */
export const answered = async ({ guard, round, client }: StageWork, stage: Stage, answer: object): Promise<void> => {
  const { taskId } = round.task;
  await guard.secrets.seal(taskId, stage, client.save());
  guard.journal.advanceRound(taskId, stage, JSON.stringify(answer));
  await forgetBefore(guard, taskId, stage);
};

/** Of a round that ended meanwhile nothing is kept. */
export const forgetBefore = async ({ journal, secrets }: Guard, taskId: string, stage: Stage): Promise<void> => {
  if (journal.masked(taskId)?.over === null) await secrets.dropBefore(taskId, stage);
  else await secrets.drop(taskId);
};

/** The request in its outer form; what is inside is checked by the core. */
export const readRequest = <T>(text: string, form: ZodType<T>): T => {
  const read = form.safeParse(parse(text));
  if (read.success) return read.data;
  throw new AegisError('REQUEST_MALFORMED', 'A request of a masked round is not of its kind.');
};

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AegisError('REQUEST_MALFORMED', 'A request of a masked round is no JSON.', cause);
  }
};
