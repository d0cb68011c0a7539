import type { RunSummary } from '../domain/run.ts';
import type { Gateway } from './gateway.ts';

/** Newest first; limit 0 = all. */
export const listRuns = (
  gateway: Gateway,
  query: { runId?: bigint | undefined; limit: number; skip: number },
): Promise<RunSummary[]> => gateway.runs.listRuns(query);
