// Two guards are killed in the middle of masked rounds: one before its vector has left, one after.
import type { AuditLine, GuardedNode } from './guarded-node.ts';

export interface Kill {
  readonly name: string;
  readonly round: number;
  readonly task: string;
}

const training = (run: bigint, round: number) => (line: AuditLine) =>
  line.run === String(run) && line.round === round && line.kind === 'train';

/** When it has given its shares to the others, and its SuperNode is still at work. */
export async function killBeforeInput(
  victim: GuardedNode,
  run: bigint,
  round: number,
  signal: AbortSignal,
): Promise<Kill> {
  const { task } = await victim.says('round-joined', training(run, round), signal);
  await victim.hasShared(task, signal);
  await victim.kill();
  const left = (await victim.audit('answer-released')).some((line) => line.task === task);
  if (left) throw new Error(`${victim.role.name} had answered round ${round} before it could be killed`);
  return { name: victim.role.name, round, task };
}

/**
 * Whoever is first in the round, when the server has its vector. Another one, whose vector is missing, stands still meanwhile: the round
 * cannot close before the kill. Null: all were as quick as the first.
 */
export async function killAfterInput(
  nodes: readonly GuardedNode[],
  run: bigint,
  round: number,
  signal: AbortSignal,
): Promise<Kill | null> {
  const released = (node: GuardedNode, until: AbortSignal) => node.says('answer-released', training(run, round), until);
  const looking = new AbortController();
  const until = AbortSignal.any([signal, looking.signal]);
  const races = nodes.map(async (node) => ({ node, line: await released(node, until) }));
  for (const race of races) race.catch(() => undefined);
  const { node: victim, line } = await Promise.race(races);
  const late = await lastOf(nodes, victim, training(run, round));
  looking.abort();
  if (late === null) return null;
  late.pause();
  try {
    await victim.says('verdict', ({ task, accepted }) => task === line.task && accepted === true, signal);
    await victim.kill();
  } finally {
    late.resume();
  }
  const helped = (await victim.audit('sum-opened')).some(({ task }) => task === line.task);
  return helped ? null : { name: victim.role.name, round, task: line.task };
}

const lastOf = async (
  nodes: readonly GuardedNode[],
  first: GuardedNode,
  is: (line: AuditLine) => boolean,
): Promise<GuardedNode | null> => {
  for (const node of nodes.toReversed()) {
    const isIn = (await node.audit('round-joined')).some(is);
    if (node !== first && isIn && !(await node.audit('answer-released')).some(is)) return node;
  }
  return null;
};
