import type { Gateway } from './gateway.ts';

/** RUN_FINISHED when it is over already. Its tasks are withdrawn; nodes notice at their next call. */
export const stopRun = async (gateway: Gateway, runId: bigint): Promise<void> => {
  await gateway.runs.stopRun(runId);
  gateway.log.info({ run: runId }, 'run stopped');
};
