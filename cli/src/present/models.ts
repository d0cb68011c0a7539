import type { ModelVersion } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { formatBytes, formatMetrics, formatTime, isoTime, plainMetrics } from './values.ts';

export const modelJson = (model: ModelVersion) => ({
  modelId: model.modelId,
  name: model.name,
  runId: model.runId === 0n ? null : model.runId,
  round: model.round,
  cohort: model.cohort,
  bytes: model.bytes,
  parentId: model.parentId === '' ? null : model.parentId,
  createdAt: isoTime(model.createdAt),
  metrics: plainMetrics(model.metrics),
});

export const modelHead = ['MODEL', 'NAME', 'RUN', 'ROUND', 'COHORT', 'SIZE', 'CREATED', 'FROM', 'METRICS'];

export const modelRow = (model: ModelVersion): string[] => [
  model.modelId.slice(0, 12),
  model.name,
  model.runId === 0n ? 'imported' : model.runId.toString(),
  model.runId === 0n ? '' : model.round.toString(),
  model.runId === 0n ? '' : model.cohort.toString(),
  formatBytes(model.bytes),
  formatTime(model.createdAt),
  model.parentId.slice(0, 12),
  formatMetrics(plainMetrics(model.metrics)),
];
