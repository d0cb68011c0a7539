import type { Dashboard } from './panels.ts';

export const privacy: Dashboard = {
  uid: 'aegis-privacy',
  title: 'Aegis: privacy',
  about: 'What releases have cost, and what is left to spend.',
  rows: [
    {
      title: 'Budgets',
      panels: [
        {
          title: 'Budget left, by data set',
          about:
            'Of the share that is neither spent nor reserved. It never grows, but when a budget is raised or a reservation released.',
          unit: 'percentunit',
          max: 1,
          queries: [['1 - max by (dataset) (aegis_privacy_dataset_budget_used_ratio >= 0)', '{{dataset}}']],
        },
        {
          title: 'Epsilon, by data set',
          about: 'Reservations counted; of the most spent partition.',
          unit: 'short',
          queries: [['max by (dataset) (aegis_privacy_dataset_epsilon >= 0)', '{{dataset}}']],
        },
        {
          title: 'Most spent scope, of those charged last',
          about: 'Share of its budget. unit: the one person or node that has given most.',
          unit: 'percentunit',
          max: 1,
          queries: [['max by (kind) (aegis_privacy_budget_used)', '{{kind}}']],
        },
        {
          title: 'Epsilon of that scope',
          about: 'Reservations counted.',
          unit: 'short',
          queries: [['max by (kind) (aegis_privacy_epsilon)', '{{kind}}']],
        },
      ],
    },
    {
      title: 'Runs',
      panels: [
        {
          title: 'Epsilon of the run',
          about: 'Spent by the private run that released a round last, by its data set.',
          unit: 'short',
          queries: [['aegis_privacy_run_epsilon', '{{dataset}}']],
        },
        {
          title: "The run's budget left",
          about: 'Of the budget that the plan gave it.',
          unit: 'percentunit',
          max: 1,
          queries: [['aegis_privacy_budget_left', '{{dataset}}']],
        },
        {
          title: 'Clip and noise',
          about: 'L2 norm that updates are clipped to, and noise over the clip.',
          unit: 'short',
          queries: [
            ['aegis_privacy_clip', 'clip, {{dataset}}'],
            ['aegis_privacy_noise_multiplier', 'noise multiplier, {{dataset}}'],
            ['aegis_privacy_delta', 'delta, {{dataset}}'],
          ],
        },
        {
          title: 'Rounds, by what the ledger was told',
          about: 'Every reservation is committed or released.',
          unit: 'short',
          queries: [['sum by (outcome) (increase(aegis_privacy_rounds_total[$__rate_interval]))', '{{outcome}}']],
        },
      ],
    },
    {
      title: 'The ledger',
      panels: [
        {
          title: 'Who writes',
          about: 'One process is open, the others stand by. damaged grants nothing.',
          unit: 'short',
          queries: [['sum by (standing) (aegis_ledger_standing)', '{{standing}}']],
        },
        {
          title: 'Operations',
          about: 'What was asked, and what was answered.',
          unit: 'short',
          queries: [
            [
              'sum by (operation, outcome) (increase(aegis_ledger_operations_total[$__rate_interval]))',
              '{{operation}} {{outcome}}',
            ],
          ],
        },
        {
          title: 'Making a page durable',
          about: 'Its anchor included; 95 %. Entries: how many become durable together.',
          unit: 's',
          queries: [
            [
              'histogram_quantile(0.95, sum by (le) (rate(aegis_ledger_page_seconds_bucket[$__rate_interval])))',
              'page',
            ],
          ],
        },
        {
          title: 'Entries of a page',
          about: 'On average.',
          unit: 'short',
          queries: [
            [
              'sum(rate(aegis_ledger_page_entries_sum[$__rate_interval])) / sum(rate(aegis_ledger_page_entries_count[$__rate_interval]))',
              'entries',
            ],
          ],
        },
        {
          title: 'Changes of the writer',
          about: 'Taken from whom, lost why.',
          unit: 'short',
          queries: [
            ['sum by (from) (increase(aegis_ledger_takings_total[$__rate_interval]))', 'taken: {{from}}'],
            ['sum by (reason) (increase(aegis_ledger_losses_total[$__rate_interval]))', 'lost: {{reason}}'],
          ],
        },
      ],
    },
  ],
};
