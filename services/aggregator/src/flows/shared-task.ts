import type { ModelInfo } from '../domain/model.ts';
import { type Plan, taskConfig } from '../domain/plan.ts';
import { type RoundState, windowOf } from '../domain/round.ts';
import type { Task } from '../peers/contract.ts';

/** Longer than any node takes; lateness is the round's to judge, not the clock of a node's. */
const TASK_TTL_SECONDS = 43_200;

/** What is the same for every node that is asked now. */
export function sharedTask(
  { plan, model }: { readonly plan: Plan; readonly model: ModelInfo | null },
  state: RoundState,
): Omit<Task, 'taskId' | 'nodeId'> {
  const { runId, round, kind, dispatchedAt, traceparent, flower } = state;
  const trains = flower === undefined || flower.stage === 'collect_masked_vectors';
  return {
    runId,
    round,
    kind,
    modelId: (trains ? model?.modelId : undefined) ?? null,
    config: trains ? taskConfig(plan, kind, round, state.rules.privacy) : [],
    layout: plan.layout,
    createdAt: dispatchedAt ?? 0,
    ttlSeconds: TASK_TTL_SECONDS,
    groupId: plan.layout.dialect === 'legacy' ? String(round) : '',
    traceparent,
    deadline: (dispatchedAt ?? 0) + windowOf(state) * 1000,
    join: plan.join,
    masking: state.masking,
  };
}
