import { AegisError } from '@aegis/errors';
import type { Verdict } from '../../domain/upload.ts';

/** Answers written out at once: each costs as much as a whole model. */
const MOST_ENCODED = 4;

export interface SubmittedAnswer {
  /** Node and task. */
  readonly of: string;
  readonly answerId: string;
  readonly isEncoded: boolean;
}

/** Answers on their way to a verdict: one of a node to a task at a time, and of those that are written out first a few in all. Others come again. */
export class Submitting {
  readonly #flying = new Map<string, { readonly answerId: string; readonly verdict: Promise<Verdict> }>();
  #encoded = 0;

  /** UNAVAILABLE while another answer to the task is judged, or too many are written out. The same answer again waits for its verdict. */
  run({ of, answerId, isEncoded }: SubmittedAnswer, submit: () => Promise<Verdict>): Promise<Verdict> {
    const flying = this.#flying.get(of);
    if (flying?.answerId === answerId) return flying.verdict;
    if (flying) throw new AegisError('UNAVAILABLE', 'Another answer to this task is being judged.');
    if (isEncoded && this.#encoded >= MOST_ENCODED)
      throw new AegisError('UNAVAILABLE', 'Too many encoded answers are being written out.');
    this.#encoded += isEncoded ? 1 : 0;
    const verdict = submit().finally(() => {
      this.#encoded -= isEncoded ? 1 : 0;
      this.#flying.delete(of);
    });
    this.#flying.set(of, { answerId, verdict });
    return verdict;
  }
}
