import type { Gateway } from './gateway.ts';

/** What the run's round had gathered is given up with the volume it lies on; nodes get new tasks. */
export const takeOverRun = async (gateway: Gateway, runId: bigint): Promise<void> => {
  await gateway.runs.takeOverRun(runId);
  gateway.log.warn({ run: runId }, 'a run was taken over from a volume that was declared lost');
};
