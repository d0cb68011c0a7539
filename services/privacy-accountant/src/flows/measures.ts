import type { Telemetry } from '@aegis/service-kit';

export type Measures = ReturnType<typeof createMeasures>;

/** The accountant's instruments. Labels name kinds and outcomes, never runs or units: their number must not grow. */
export function createMeasures({ meter }: Telemetry) {
  return {
    operations: meter.createCounter('aegis_ledger_operations_total', {
      description:
        'What was asked of the privacy ledger and answered, by operation and outcome: granted, repeated, refused ….',
    }),
    used: meter.createGauge('aegis_privacy_budget_used', {
      description:
        'Share of its budget that the most spent scope has used among those charged last, by kind: run, dataset, unit.',
    }),
    epsilon: meter.createGauge('aegis_privacy_epsilon', {
      description: 'Epsilon of that scope, reservations counted.',
    }),
    pageSeconds: meter.createHistogram('aegis_ledger_page_seconds', {
      description: 'Making one page of the ledger durable, its anchor included.',
      unit: 's',
    }),
    pageEntries: meter.createHistogram('aegis_ledger_page_entries', {
      description: 'Entries that became durable together.',
    }),
    takings: meter.createCounter('aegis_ledger_takings_total', {
      description:
        'How often this process became the writer of the ledger, by from whom: nobody, itself (a restart), stale (its writer is gone).',
    }),
    losses: meter.createCounter('aegis_ledger_losses_total', {
      description: 'How often it ceased to be, by reason: overtaken, store, damaged.',
    }),
  };
}
