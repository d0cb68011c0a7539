import { counterFromZero, secondsHistogram, type Telemetry } from '@aegis/service-kit';
import { dataSetBalance } from '../domain/balance.ts';
import type { Book } from '../domain/book.ts';
import type { Pricing } from '../domain/pricing.ts';

export type Measures = ReturnType<typeof createMeasures>;

/** The accountant's instruments. Labels name kinds and outcomes, never runs or units: their number must not grow. */
export function createMeasures({ meter }: Telemetry) {
  return {
    operations: counterFromZero(
      meter,
      'aegis_ledger_operations_total',
      {
        description:
          'What was asked of the privacy ledger and answered, by operation and outcome: granted, repeated, refused ….',
      },
      [
        ...['plan', 'reserve'].flatMap((operation) =>
          ['granted', 'refused'].map((outcome) => ({ operation, outcome })),
        ),
        { operation: 'verify', outcome: 'damaged' },
      ],
    ),
    used: meter.createGauge('aegis_privacy_budget_used', {
      description:
        'Share of its budget that the most spent scope has used among those charged last, by kind: run, dataset, unit.',
    }),
    epsilon: meter.createGauge('aegis_privacy_epsilon', {
      description: 'Epsilon of that scope, reservations counted.',
    }),
    pageSeconds: secondsHistogram(
      meter,
      'aegis_ledger_page_seconds',
      'Making one page of the ledger durable, its anchor included.',
    ),
    pageEntries: meter.createHistogram('aegis_ledger_page_entries', {
      description: 'Entries that became durable together.',
    }),
    takings: counterFromZero(
      meter,
      'aegis_ledger_takings_total',
      {
        description:
          'How often this process became the writer of the ledger, by from whom: nobody, itself (a restart), stale (its writer is gone).',
      },
      ['nobody', 'itself', 'stale'].map((from) => ({ from })),
    ),
    losses: counterFromZero(
      meter,
      'aegis_ledger_losses_total',
      { description: 'How often it ceased to be, by reason: overtaken, store, damaged.' },
      ['overtaken', 'store', 'damaged'].map((reason) => ({ reason })),
    ),
  };
}

/** Data sets that are shown one by one; of more, the most spent. */
const SHOWN = 50;

interface Shown {
  readonly standing: string;
  readonly book: Book | null;
}

/** How the ledger stands, and what its writer knows of data sets. Of budgets a process that stands by says NaN: it knows nothing. */
export function watchLedger({ meter }: Telemetry, pricing: Pricing, shown: () => Shown): void {
  const standing = meter.createObservableGauge('aegis_ledger_standing', {
    description: '1 for how the ledger stands at this process: opening, standby, open, damaged or closed; else 0.',
  });
  const used = meter.createObservableGauge('aegis_privacy_dataset_budget_used_ratio', {
    description: 'Share of its budget that a data set has used, reservations counted; of its most spent partition.',
  });
  const epsilon = meter.createObservableGauge('aegis_privacy_dataset_epsilon', {
    description: 'Epsilon of a data set, reservations counted; of its most spent partition.',
  });
  const named = new Set<string>();
  meter.addBatchObservableCallback(
    (result) => {
      const now = shown();
      for (const one of STANDINGS) result.observe(standing, one === now.standing ? 1 : 0, { standing: one });
      const { book } = now;
      const balances = [...(book?.dataSets.keys() ?? [])].map((name) => dataSetBalance(book as Book, name, pricing));
      const most = balances.sort((a, b) => b.used - a.used).slice(0, SHOWN);
      const byName = new Map(most.map((balance) => [balance.scope.name, balance]));
      for (const dataset of byName.keys()) named.add(dataset);
      // one that is left out would keep its last value for ever
      for (const dataset of named) {
        const balance = byName.get(dataset);
        result.observe(used, balance?.used ?? Number.NaN, { dataset });
        result.observe(epsilon, balance?.epsilon ?? Number.NaN, { dataset });
      }
    },
    [standing, used, epsilon],
  );
}
const STANDINGS = ['opening', 'standby', 'open', 'damaged', 'closed'] as const;
