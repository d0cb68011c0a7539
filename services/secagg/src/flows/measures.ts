import type { Telemetry } from '@aegis/service-kit';

export type Measures = ReturnType<typeof createMeasures>;

/** The service's instruments. Labels name stages, codes and reasons, never runs or nodes: their number must not grow. */
export function createMeasures({ meter }: Telemetry) {
  return {
    opened: meter.createCounter('aegis_secagg_rounds_opened', { description: 'Masked rounds opened' }),
    ended: meter.createCounter('aegis_secagg_rounds_ended', {
      description:
        'Masked rounds that ended, by code: SECAGG_TOO_FEW, or SECAGG_ROUND_OVER when the aggregator ended them',
    }),
    refused: meter.createCounter('aegis_secagg_answers_refused', {
      description: "Nodes' answers refused, by stage and code",
    }),
    excluded: meter.createCounter('aegis_secagg_nodes_excluded', {
      description: 'Nodes that a masked round went on without, by reason',
    }),
    unmasked: meter.createCounter('aegis_secagg_masks', { description: 'Total masks handed to the aggregator' }),
    maskSeconds: meter.createHistogram('aegis_secagg_mask_seconds', {
      description: 'Making one total mask out of opened shares',
      unit: 's',
    }),
  };
}
