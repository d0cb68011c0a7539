import { refOf, type Task } from '../domain/task.ts';
import type { Gateway } from './gateway.ts';

/** The node has everything it needs and begins. Progress for people; no result depends on it. */
export const confirmTask = (gateway: Gateway, task: Task): void => gateway.presence.taskConfirmed(refOf(task));
