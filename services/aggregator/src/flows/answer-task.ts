// What a node says to its task: parts, then the answer, or that it could not do it. All of it goes to the phase that sent the task.
import type { Answer, TaskRef } from '../domain/answer.ts';
import type { Verdict } from '../domain/verdict.ts';
import type { RunOwner } from './own-runs.ts';
import type { PhaseAnswers } from './take-answers.ts';

export async function missingParts(owner: RunOwner, task: TaskRef, parts: readonly string[]): Promise<string[]> {
  return (await answersTo(owner, task)).missing(task, parts);
}

export async function appendPart(
  owner: RunOwner,
  task: TaskRef,
  part: string,
  content: Buffer,
): Promise<{ deduplicated: boolean }> {
  return (await answersTo(owner, task)).append(task, part, content);
}

/** `length` undefined: all of it. */
export async function readPart(
  owner: RunOwner,
  task: TaskRef,
  part: string,
  length: number | undefined,
): Promise<Buffer> {
  return (await answersTo(owner, task)).read(task, part, length);
}

export async function submitUpdate(owner: RunOwner, task: TaskRef, answer: Answer): Promise<Verdict> {
  return (await answersTo(owner, task)).submit(task, answer);
}

export async function failTask(owner: RunOwner, task: TaskRef, code: number, reason: string): Promise<void> {
  await (await answersTo(owner, task)).fail(task, code, reason);
}

const answersTo = async (owner: RunOwner, task: TaskRef): Promise<PhaseAnswers> =>
  (await owner.driver(task.runId)).phaseOf(task.taskId).answers;
