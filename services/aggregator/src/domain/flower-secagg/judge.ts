import { AegisError } from '@aegis/errors';
import type { Answer, FlowerSaid } from '../answer.ts';
import { accepted, judgeAnswer, refuse, type Verdict } from '../verdict.ts';
import type { FlowerTerms } from './terms.ts';

/** What a node said in a stage, if the answer is to one and may be looked at further: arrays that are not masked are not. */
export function saidIn(answer: Answer, terms: FlowerTerms | undefined): FlowerSaid {
  if (terms === undefined) throw new AegisError('ANSWER_NOT_MASKED', 'The task is not masked.');
  if (answer.flower === undefined || answer.tensors.length > 0 || answer.masked !== undefined)
    throw new AegisError('ANSWER_NOT_MASKED', "It is not masked by Flower's SecAgg+, and was not looked at.");
  return answer.flower;
}

/** What a node reports in the clear beside its vector. Flower lets weights above the greatest overflow. */
export function judgeReport(answer: Answer, { maxWeight }: FlowerTerms, weightedByKey: string): Verdict {
  const verdict = judgeAnswer('evaluate', answer, [], weightedByKey);
  if (!verdict.accepted || (answer.weight ?? 0) <= maxWeight) return verdict;
  return refuse(
    'UPDATE_WEIGHT',
    `It is ${answer.weight}, and aegis.secagg.max-weight is ${maxWeight}: the sum would be wrong.`,
  );
}

/** What is wrong with an answer as a verdict about it; anything else is thrown on. */
export function verdictOf(check: () => void): Verdict {
  try {
    check();
    return accepted;
  } catch (error) {
    const { code, detail } = AegisError.from(error);
    if (!code.startsWith('SECAGG_') && code !== 'ANSWER_NOT_MASKED') throw error;
    return refuse(code, detail);
  }
}
