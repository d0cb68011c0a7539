import { createTelemetry, type Telemetry } from '@aegis/service-kit';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';

export interface SpanTree {
  readonly name: string;
  readonly attributes: ReadableSpan['attributes'];
  readonly children: SpanTree[];
}

/** Telemetry that keeps its finished spans in memory. */
export const recordingTelemetry = (
  service = 'test',
): { telemetry: Telemetry; spans(): ReadableSpan[]; trees(): SpanTree[]; reset(): void } => {
  const exporter = new InMemorySpanExporter();
  const telemetry = createTelemetry({
    service,
    version: '0',
    env: {},
    spanProcessors: [new SimpleSpanProcessor(exporter)],
  });
  return {
    telemetry,
    spans: () => exporter.getFinishedSpans(),
    trees: () => spanTrees(exporter.getFinishedSpans()),
    reset: () => exporter.reset(),
  };
};

/** Finished spans as trees, children in the order they started. A span whose parent is not among them is a root. */
export const spanTrees = (spans: readonly ReadableSpan[]): SpanTree[] => {
  const nodes = new Map(
    spans
      .toSorted((a, b) => a.startTime[0] - b.startTime[0] || a.startTime[1] - b.startTime[1])
      .map((span) => [
        span.spanContext().spanId,
        { span, tree: { name: span.name, attributes: span.attributes, children: [] } satisfies SpanTree as SpanTree },
      ]),
  );
  const roots: SpanTree[] = [];
  for (const { span, tree } of nodes.values()) {
    (nodes.get(span.parentSpanContext?.spanId ?? '')?.tree.children ?? roots).push(tree);
  }
  return roots;
};
