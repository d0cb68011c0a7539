import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import type { StageRequest } from '../domain/request.ts';

const numbers = {
  share: SecaggStage.SHARE,
  mask: SecaggStage.MASK,
  confirm: SecaggStage.CONFIRM,
  unmask: SecaggStage.UNMASK,
} as const;

/** What all nodes are asked alike is written down once. */
const written = new WeakMap<StageRequest, Buffer>();

/** The core's messages (secagg/messages.rs), but for the model's hash in the stage `mask`: a node computes that itself. */
export const writeRequest = (request: Exclude<StageRequest, { stage: 'done' }>, terms: string) => {
  const known = written.get(request) ?? Buffer.from(JSON.stringify({ terms, ...bodyOf(request) }));
  written.set(request, known);
  return { stage: numbers[request.stage], request: known };
};

const bodyOf = (request: Exclude<StageRequest, { stage: 'done' }>): object => {
  if (request.stage === 'share') return { adverts: request.roster };
  const { stage: _stage, ...body } = request;
  return body;
};
