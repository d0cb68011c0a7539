import type { Telemetry } from '@aegis/service-kit';
import type { Task } from '../domain/task.ts';

/**
 * Work for a task, as part of the trace of its round. Spans go where the owner's own OTEL_… variables say, and nowhere without them; they name
 * run, round, task and what became of it, never what is in a model, an answer or the policy.
 */
export const inTaskSpan = <T>(
  { telemetry }: { readonly telemetry: Telemetry },
  name: string,
  { runId, round, kind, taskId, traceparent }: Task,
  work: (tell: (attribute: 'aegis.allowed' | 'aegis.accepted', value: boolean) => void) => Promise<T>,
): Promise<T> => {
  const attributes = { 'aegis.run': runId.toString(), 'aegis.round': round, 'aegis.kind': kind, 'aegis.task': taskId };
  return telemetry.inSpan(name, { parent: traceparent || undefined, attributes }, (span) =>
    work((attribute, value) => span.setAttribute(attribute, value)),
  );
};
