import type { Telemetry } from '@aegis/service-kit';
import type { Opened } from '../domain/masking.ts';
import type { Round } from '../domain/state.ts';

type Span = ReturnType<Telemetry['startSpan']>;

/** A span for each stage, in the trace of the round. */
export class StageSpans {
  readonly #telemetry: Telemetry;
  readonly #opened: Opened;
  #open: Span | null = null;

  constructor(telemetry: Telemetry, opened: Opened) {
    this.#telemetry = telemetry;
    this.#opened = opened;
  }

  begin(state: Round): void {
    this.end();
    if (!this.#telemetry.tracing || state.stage === 'ended' || state.stage === 'open') return;
    const { ref, traceparent } = this.#opened;
    this.#open = this.#telemetry.startSpan(`secagg.${state.stage}`, {
      parent: traceparent || undefined,
      attributes: { 'aegis.run': ref.runId, 'aegis.secagg.round': ref.round },
    });
  }

  end(): void {
    this.#open?.end();
    this.#open = null;
  }
}
