import type { Dashboard } from './panels.ts';

export const rounds: Dashboard = {
  uid: 'aegis-rounds',
  title: 'Aegis: rounds',
  about: 'What is learned, how fast, and who stays away.',
  rows: [
    {
      title: 'Now',
      panels: [
        {
          title: 'Open runs',
          about: 'Runs under way, all aggregators together.',
          unit: 'short',
          stat: true,
          queries: [['sum(aegis_runs_open)', 'runs']],
        },
        {
          title: 'Nodes online',
          about: 'SuperNodes, guards and native clients at all gateways.',
          unit: 'short',
          stat: true,
          queries: [['sum(aegis_gateway_nodes_online)', 'nodes']],
        },
        {
          title: 'Without progress for',
          about: 'The round that has stood still for longest; waiting for nodes is not counted.',
          unit: 's',
          stat: true,
          queries: [
            ['time() - min(aegis_run_progress_timestamp_seconds{stage!~"selecting|between"})', 'no progress for'],
          ],
        },
        {
          title: 'Phases that failed, of the last day',
          about: 'Of all that completed or failed.',
          unit: 'percentunit',
          stat: true,
          queries: [
            [
              'sum(increase(aegis_rounds_total{outcome="failed"}[1d])) / sum(increase(aegis_rounds_total{outcome=~"completed|failed"}[1d]))',
              'failed',
            ],
          ],
        },
      ],
    },
    {
      title: 'Learning',
      panels: [
        {
          title: 'Loss',
          about:
            'What the app calls its loss, of the phase that ended last. With several runs at once their values alternate.',
          unit: 'short',
          queries: [['aegis_round_loss', '{{kind}}']],
        },
        {
          title: 'Accuracy',
          about: 'What the app calls its accuracy, of the phase that ended last.',
          unit: 'percentunit',
          max: 1,
          queries: [['aegis_round_accuracy', '{{kind}}']],
        },
        {
          title: 'Cohort',
          about: 'Nodes of the phase that ended last. A cohort that is secret shows nothing.',
          unit: 'short',
          queries: [['aegis_round_cohort_nodes', '{{kind}}']],
        },
        {
          title: 'Answers',
          about: 'By verdict: accepted, failed at the node, or the code of the refusal.',
          unit: 'short',
          queries: [['sum by (verdict) (increase(aegis_updates_total[$__rate_interval]))', '{{verdict}}']],
        },
        {
          title: 'Stragglers',
          about: 'Share of the selected nodes that did not answer.',
          unit: 'percentunit',
          max: 1,
          queries: [
            [
              'sum by (kind) (increase(aegis_dropped_total[1h])) / (sum by (kind) (increase(aegis_selected_total[1h])) > 0)',
              '{{kind}}',
            ],
          ],
        },
        {
          title: 'Runs by stage',
          about: 'selecting waits for nodes, collecting for their answers.',
          unit: 'short',
          queries: [['sum by (stage) (aegis_runs_open)', '{{stage}}']],
        },
      ],
    },
    {
      title: 'Time',
      panels: [
        {
          title: 'Duration of a phase',
          about: 'From selecting a cohort to the checkpoint.',
          unit: 's',
          queries: [
            [
              'histogram_quantile(0.5, sum by (le, kind) (rate(aegis_round_seconds_bucket[$__rate_interval])))',
              '{{kind}}, half of them',
            ],
            [
              'histogram_quantile(0.95, sum by (le, kind) (rate(aegis_round_seconds_bucket[$__rate_interval])))',
              '{{kind}}, 95 %',
            ],
          ],
        },
        {
          title: 'Dead time',
          about: 'Share of the time of phases in which no node was at work.',
          unit: 'percentunit',
          queries: [
            [
              'sum by (kind) (rate(aegis_round_dead_seconds_sum[$__rate_interval])) / sum by (kind) (rate(aegis_round_seconds_sum[$__rate_interval]))',
              '{{kind}}',
            ],
          ],
        },
        {
          title: 'Folding and finishing',
          about: 'Adding one update into the sum; from the last answer to the written model. 95 %.',
          unit: 's',
          queries: [
            ['histogram_quantile(0.95, sum by (le) (rate(aegis_fold_seconds_bucket[$__rate_interval])))', 'fold'],
            ['histogram_quantile(0.95, sum by (le) (rate(aegis_finish_seconds_bucket[$__rate_interval])))', 'finish'],
          ],
        },
        {
          title: 'Intake',
          about: 'Bytes of answers made durable.',
          unit: 'Bps',
          queries: [['sum by (kind) (rate(aegis_intake_bytes_total[$__rate_interval]))', '{{kind}}']],
        },
        {
          title: 'Phases and runs that ended',
          about: 'By outcome.',
          unit: 'short',
          queries: [
            ['sum by (outcome) (increase(aegis_rounds_total[$__rate_interval]))', 'phases {{outcome}}'],
            ['sum by (outcome) (increase(aegis_runs_total[$__rate_interval]))', 'runs {{outcome}}'],
          ],
        },
        {
          title: 'Runs that changed their owner',
          about:
            'itself: an aggregator came back after a restart. stale: its owner was gone. Lost: another took it while it was still driven.',
          unit: 'short',
          queries: [
            ['sum by (from) (increase(aegis_run_takeovers_total[$__rate_interval]))', '{{from}}'],
            ['sum(increase(aegis_run_losses_total[$__rate_interval]))', 'lost'],
          ],
        },
      ],
    },
  ],
};
