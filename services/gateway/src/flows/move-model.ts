import type { ModelVersion } from '../domain/run.ts';
import type { ExportQuery } from '../peers/contract.ts';
import type { Gateway } from './gateway.ts';

export const importModel = (gateway: Gateway, name: string, format: string, content: Buffer): Promise<ModelVersion> =>
  gateway.runs.importModel(name, format, content);

export const exportModel = (
  gateway: Gateway,
  query: ExportQuery,
  caller: AbortSignal,
): AsyncIterable<{ fileName: string; content: Buffer }> => gateway.runs.exportModel(query, caller);
