import type { ModelVersion } from '../domain/run.ts';
import type { Gateway } from './gateway.ts';

export const listModels = (gateway: Gateway, runId: bigint | undefined): Promise<ModelVersion[]> =>
  gateway.runs.listModels(runId);
