import type { Telemetry } from '@aegis/service-kit';
import type { TaskRef } from '../domain/task.ts';

/** Work for a node's task, as part of the trace of its round. */
export const inTaskSpan = <T>(
  telemetry: Telemetry,
  name: string,
  { nodeId, runId, taskId, traceparent }: TaskRef & { readonly traceparent: string },
  work: () => Promise<T>,
  attributes: Record<string, string | number> = {},
): Promise<T> => {
  if (!telemetry.tracing) return work();
  const ids = { 'aegis.node': nodeId.toString(), 'aegis.run': runId.toString(), 'aegis.task': taskId };
  return telemetry.inSpan(name, { parent: traceparent || undefined, attributes: { ...ids, ...attributes } }, work);
};
