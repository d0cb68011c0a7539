import type { Dashboard } from './panels.ts';

const OURS = '* on (job, instance) group_left (service_name) target_info{service_name=~"aegis.*"}';

export const cost: Dashboard = {
  uid: 'aegis-cost',
  title: 'Aegis: cluster and cost',
  about: 'What the suite takes of its machines, and what that comes to.',
  numbers: [
    { name: 'cpu_price', label: 'Price of a vCPU hour', value: '0.04' },
    { name: 'memory_price', label: 'Price of a GiB hour', value: '0.005' },
  ],
  rows: [
    {
      title: 'Cost',
      panels: [
        {
          title: 'An hour costs',
          about:
            'CPU that is used and memory that is held, at the prices above. What is reserved and idle is not counted, nor disks and traffic.',
          unit: 'currencyUSD',
          stat: true,
          queries: [
            [
              `sum(rate(process_cpu_seconds_total[1h]) ${OURS}) * $cpu_price + sum(process_resident_memory_bytes ${OURS}) / 1073741824 * $memory_price`,
              'an hour',
            ],
          ],
        },
        {
          title: 'A completed phase costs',
          about: 'The same, over the phases that completed in the last hour.',
          unit: 'currencyUSD',
          stat: true,
          queries: [
            [
              `(sum(rate(process_cpu_seconds_total[1h]) ${OURS}) * $cpu_price + sum(process_resident_memory_bytes ${OURS}) / 1073741824 * $memory_price) / (sum(increase(aegis_rounds_total{outcome="completed"}[1h])) > 0)`,
              'a phase',
            ],
          ],
        },
        {
          title: 'CPU seconds for a gigabyte of answers',
          about: 'Of all services together; the bench prints the same figure.',
          unit: 's',
          stat: true,
          queries: [
            [
              `sum(rate(process_cpu_seconds_total[1h]) ${OURS}) / (sum(rate(aegis_intake_bytes_total[1h])) > 0) * 1e9`,
              'CPU s',
            ],
          ],
        },
        {
          title: 'Memory held',
          about: 'Resident, of all services together.',
          unit: 'bytes',
          stat: true,
          queries: [[`sum(process_resident_memory_bytes ${OURS})`, 'memory']],
        },
      ],
    },
    {
      title: 'Processes',
      panels: [
        {
          title: 'CPU',
          about: 'Cores in use, by service.',
          unit: 'short',
          queries: [
            [`sum by (service_name) (rate(process_cpu_seconds_total[$__rate_interval]) ${OURS})`, '{{service_name}}'],
          ],
        },
        {
          title: 'Memory',
          about: 'Resident, by process.',
          unit: 'bytes',
          queries: [[`process_resident_memory_bytes ${OURS}`, '{{service_name}} {{instance}}']],
        },
        {
          title: 'Event loop lag',
          about: 'How long others wait for the loop of a process; p99 over 10 s, and the longest.',
          unit: 's',
          queries: [['max by (job, stat) (aegis_event_loop_lag_seconds)', '{{job}} {{stat}}']],
        },
        {
          title: 'Starts',
          about: 'Processes that began anew.',
          unit: 'short',
          queries: [
            [
              `sum by (service_name) (changes(process_start_time_seconds[$__rate_interval]) ${OURS})`,
              '{{service_name}}',
            ],
          ],
        },
        {
          title: 'State directories: free',
          about: 'Share of the file system that is free, by service.',
          unit: 'percentunit',
          max: 1,
          queries: [['aegis_state_available_bytes / aegis_state_size_bytes', '{{of}} {{instance}}']],
        },
        {
          title: 'Waiting for room',
          about: 'Minutes in which a run waited because a disk was full.',
          unit: 'short',
          queries: [['sum(increase(aegis_disk_full_total[$__rate_interval]))', 'minutes']],
        },
        {
          title: 'NATS',
          about: 'Processes with a connection, and without.',
          unit: 'short',
          queries: [
            ['count(aegis_nats_connected == 1)', 'connected'],
            ['count(aegis_nats_connected == 0)', 'away'],
          ],
        },
      ],
    },
  ],
};
