import { counterFromZero, secondsHistogram, type Telemetry } from '@aegis/service-kit';
import type { Excluded } from '../domain/state.ts';

export type Measures = ReturnType<typeof createMeasures>;

/** The service's instruments. Labels name stages, codes and reasons, never runs or nodes: their number must not grow. */
export function createMeasures({ meter }: Telemetry) {
  const counter = (name: string, description: string, series?: readonly Record<string, string>[]) =>
    counterFromZero(meter, name, { description }, series);
  return {
    opened: counter('aegis_secagg_rounds_opened', 'Masked rounds opened'),
    ended: counter(
      'aegis_secagg_rounds_ended',
      'Masked rounds that ended, by code: SECAGG_TOO_FEW, or SECAGG_ROUND_OVER when the aggregator ended them',
      ['SECAGG_TOO_FEW', 'SECAGG_ROUND_OVER'].map((code) => ({ code })),
    ),
    refused: counter(
      'aegis_secagg_answers_refused',
      "Nodes' answers refused, by stage and code",
      STAGES.map((stage) => ({ stage, code: 'SECAGG_CERTIFICATE' })),
    ),
    excluded: counter(
      'aegis_secagg_nodes_excluded',
      'Nodes that a masked round went on without, by reason',
      REASONS.map((reason) => ({ reason })),
    ),
    unmasked: counter('aegis_secagg_masks', 'Total masks handed to the aggregator'),
    maskSeconds: secondsHistogram(meter, 'aegis_secagg_mask_seconds', 'Making one total mask out of opened shares'),
  };
}

const STAGES = ['advertise', 'share', 'mask', 'confirm', 'unmask'];
const REASONS: readonly Excluded['reason'][] = [
  'NOT_ADVERTISED',
  'ADVERT_OF_ANOTHER',
  'NOT_SHARED',
  'TOO_FEW_NEIGHBOURS',
];
