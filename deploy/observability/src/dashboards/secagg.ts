import type { Dashboard } from './panels.ts';

export const secagg: Dashboard = {
  uid: 'aegis-secagg',
  title: 'Aegis: secure aggregation',
  about: 'Whether masked rounds open, and why not.',
  rows: [
    {
      title: 'Rounds',
      panels: [
        {
          title: 'Masked attempts',
          about: 'opened, or the code of what ended them. Nothing is opened by an attempt that ends.',
          unit: 'short',
          queries: [['sum by (outcome) (increase(aegis_masked_attempts_total[$__rate_interval]))', '{{outcome}}']],
        },
        {
          title: 'Rounds in hand',
          about: 'At all secagg processes.',
          unit: 'short',
          queries: [['sum(aegis_secagg_rounds)', 'in hand']],
        },
        {
          title: 'Rounds opened and ended',
          about:
            'SECAGG_ROUND_OVER: the aggregator has its sum, or wants none. SECAGG_TOO_FEW: too few nodes were left.',
          unit: 'short',
          queries: [
            ['sum(increase(aegis_secagg_rounds_opened_total[$__rate_interval]))', 'opened'],
            ['sum by (code) (increase(aegis_secagg_rounds_ended_total[$__rate_interval]))', '{{code}}'],
          ],
        },
        {
          title: 'Total masks',
          about: 'Handed to the aggregator: one for each sum that is opened.',
          unit: 'short',
          queries: [['sum(increase(aegis_secagg_masks_total[$__rate_interval]))', 'masks']],
        },
        {
          title: 'Making a total mask',
          about: 'Out of opened shares.',
          unit: 's',
          queries: [
            ['histogram_quantile(0.5, sum by (le) (rate(aegis_secagg_mask_seconds_bucket[$__rate_interval])))', 'half'],
            [
              'histogram_quantile(0.95, sum by (le) (rate(aegis_secagg_mask_seconds_bucket[$__rate_interval])))',
              '95 %',
            ],
          ],
        },
      ],
    },
    {
      title: 'Nodes',
      panels: [
        {
          title: 'Went on without',
          about: 'Nodes that a masked round left behind, by reason.',
          unit: 'short',
          queries: [['sum by (reason) (increase(aegis_secagg_nodes_excluded_total[$__rate_interval]))', '{{reason}}']],
        },
        {
          title: 'Answers refused',
          about: 'At the door, by stage and code.',
          unit: 'short',
          queries: [
            [
              'sum by (stage, code) (increase(aegis_secagg_answers_refused_total[$__rate_interval])) > 0',
              '{{stage}} {{code}}',
            ],
          ],
        },
        {
          title: 'Tasks withheld',
          about: 'Masked tasks that were not shown to a node that cannot mask.',
          unit: 'short',
          queries: [['sum by (code) (increase(aegis_gateway_tasks_withheld_total[$__rate_interval]))', '{{code}}']],
        },
      ],
    },
  ],
};
