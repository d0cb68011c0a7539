import { FAILURE, type Part } from '../domain/answer.ts';
import type { KeptUpdate } from '../domain/masked-round.ts';
import { hasRange, judgeAnswer } from '../domain/policy.ts';
import { type Refusal, refusalText } from '../domain/rules.ts';
import type { ConfigEntry, Task } from '../domain/task.ts';
import { cutSlice } from './cut-parts.ts';
import { deliverAnswer } from './deliver-answer.ts';
import type { GivenAnswer } from './given-answer.ts';
import { type Guard, spentToday } from './guard.ts';
import { noiseAnswer } from './noise-answer.ts';
import { lineOf, refuseTask } from './refuse-task.ts';
import { inTaskSpan } from './task-span.ts';
import { formOf, modelForms } from './tensor-forms.ts';
import { rangeOf } from './tensor-range.ts';

/**
 * Judges an answer and writes it down: from here on it is the one answer to its task, and is delivered behind our back. False:
 * the policy keeps it, and the server is told that.
 */
export const takeAnswer = (guard: Guard, task: Task, given: GivenAnswer): Promise<boolean> =>
  inTaskSpan(guard, 'guard.answer', task, async (tell) => {
    const isTaken = await judged(guard, task, given);
    tell('aegis.accepted', isTaken);
    return isTaken;
  });

const judged = async (guard: Guard, task: Task, given: GivenAnswer): Promise<boolean> => {
  const { policy, journal, tasks, audit, clock, upstream } = guard;
  const tensors = await Promise.all(
    given.tensors.map(async ({ name, slices }) => {
      const bytes = slices.reduce((sum, slice) => sum + slice.length, 0);
      const form = await formOf(guard, task, slices[0], bytes);
      return { name, bytes, form, ...(hasRange(policy, name) && { range: await rangeOf(guard, task, name, slices) }) };
    }),
  );
  const decision = judgeAnswer(
    policy,
    { ...given, ...{ kind: task.kind, masking: task.masking }, tensors, modelForms: await modelForms(guard, task) },
    spentToday(guard),
  );
  if (!decision.allowed) return keepAnswer(guard, task, decision);
  const leaving = await noiseAnswer(guard, task, given);
  if ('allowed' in leaving) return keepAnswer(guard, task, leaving);
  if (task.masking !== null) {
    const { masked: metrics, withheld } = decision;
    const { tensors, weight } = leaving;
    keepForMask(guard, task, { tensors, metrics, withheld, weight: weight ?? 0 });
    return true;
  }
  const cut = await cutParts(guard, task, leaving, upstream.maxPartBytes);
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const { metrics, withheld } = decision;
  audit.write({
    event: 'answer-released',
    ...lineOf(task),
    ...{ tensors: tensors.map(({ name }) => name), metrics: metrics.map(({ key }) => key), withheld, bytes },
    maskedAmong: 0,
  });
  const weight = weightOf(task, given.weight);
  journal.answer({
    taskId: task.taskId,
    runId: task.runId,
    answer: { outcome: 'update', ...cut, metrics: [...weight, ...metrics] },
    bytes,
    answeredAt: clock.now(),
    verdict: null,
  });
  tasks.remove(task.taskId);
  void deliverAnswer(guard, task.taskId);
  return true;
};

/** Nothing of the answer leaves; the server is told which rule of the policy says so. */
const keepAnswer = async (guard: Guard, task: Task, refusal: Refusal): Promise<false> => {
  const { rule, reason } = refusal;
  guard.audit.write({ event: 'answer-refused', ...lineOf(task), rule, reason });
  refuseTask(guard, task, FAILURE.refused, refusalText(refusal));
  await guard.parts.drop(task.taskId);
  return false;
};

/** It leaves when the round's others are ready for it, or never. */
const keepForMask = ({ journal, tasks, rounds }: Guard, { taskId }: Task, update: KeptUpdate): void => {
  journal.keepUpdate(taskId, update);
  tasks.remove(taskId);
  rounds.updateIsThere(taskId, update);
};

/** The SuperNode says that it could not do the task. What the app says of that may quote data. */
export const takeFailure = (guard: Guard, task: Task, code: number, reason: string): void => {
  const told = guard.policy.errorDetails ? reason.slice(0, 1_000) : 'The app failed; the guard keeps what it said.';
  if (!guard.policy.errorDetails) guard.log.warn({ task: task.taskId, reason }, 'the app failed');
  refuseTask(guard, task, code, told);
};

const weightOf = ({ layout }: Task, weight: number | null): ConfigEntry[] => {
  if (weight === null) return [];
  const value = Number.isSafeInteger(weight)
    ? ({ kind: 'integer', value: BigInt(weight) } as const)
    : ({ kind: 'real', value: weight } as const);
  return [{ key: layout.weightedByKey, value }];
};

/** Slices of files as parts the server takes: none larger than it allows, each named by its hash, none twice. */
const cutParts = async ({ parts: files }: Guard, { taskId }: Task, { tensors }: GivenAnswer, largest: number) => {
  const parts = new Map<string, Part>();
  const named: { name: string; partIds: string[] }[] = [];
  for (const { name, slices } of tensors) {
    const partIds: string[] = [];
    for (const slice of slices) {
      for (const part of await cutSlice(files, taskId, slice, largest)) {
        parts.set(part.partId, part);
        partIds.push(part.partId);
      }
    }
    named.push({ name, partIds });
  }
  return { parts: [...parts.values()], tensors: named };
};
