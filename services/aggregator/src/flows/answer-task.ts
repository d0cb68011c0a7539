// What a node says to its task: parts, then the answer, or that it could not do it. All of it goes to the phase that sent the task.
import { AegisError } from '@aegis/errors';
import type { Answer, TaskRef } from '../domain/answer.ts';
import type { Verdict } from '../domain/verdict.ts';
import type { RunDriver } from './drive-run.ts';
import type { RunOwner } from './own-runs.ts';
import type { PhaseAnswers } from './take-answers.ts';

export function missingParts(owner: RunOwner, task: TaskRef, parts: readonly string[]): Promise<string[]> {
  return ask(owner, task, async (answers) => answers.missing(task, parts));
}

export function appendPart(
  owner: RunOwner,
  task: TaskRef,
  part: string,
  content: Buffer,
): Promise<{ deduplicated: boolean }> {
  return ask(owner, task, (answers) => answers.append(task, part, content));
}

/** `length` undefined: all of it. */
export function readPart(owner: RunOwner, task: TaskRef, part: string, length: number | undefined): Promise<Buffer> {
  return ask(owner, task, (answers) => answers.read(task, part, length));
}

export function submitUpdate(owner: RunOwner, task: TaskRef, answer: Answer): Promise<Verdict> {
  return ask(owner, task, (answers) => answers.submit(task, answer));
}

export function failTask(owner: RunOwner, task: TaskRef, code: number, reason: string): Promise<void> {
  return ask(owner, task, (answers) => answers.fail(task, code, reason));
}

/**
 * A node that asks about a task nobody waits for has it from a mailbox where it should not be: a write of an owner that died or was
 * paused came late, or its withdrawal never. It would be offered again.
 */
async function ask<T>(owner: RunOwner, task: TaskRef, question: (answers: PhaseAnswers) => Promise<T>): Promise<T> {
  let isStray = false;
  try {
    return await askOwner(await owner.driver(task.runId), task, (answers) => {
      isStray = !answers.waitsFor(task.taskId);
      return question(answers);
    });
  } catch (error) {
    const { code, entry } = AegisError.from(error);
    // who is not the owner for certain does not know
    if (entry.kind === 'unavailable') isStray = false;
    else isStray ||= code === 'TASK_NOT_FOUND' || code === 'RUN_NOT_ACTIVE';
    throw error;
  } finally {
    if (isStray) owner.withdrawStray(task);
  }
}

/**
 * Whatever the phase says, "durable" or "too late", is told only once what it rests on is saved, and only by who owns the run for certain:
 * see tenure.ts.
 */
async function askOwner<T>(
  driver: RunDriver,
  task: TaskRef,
  question: (answers: PhaseAnswers) => Promise<T>,
): Promise<T> {
  try {
    return await question(driver.phaseOf(task.taskId).answers);
  } finally {
    await driver.confirm();
  }
}
