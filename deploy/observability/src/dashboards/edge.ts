import type { Dashboard } from './panels.ts';

export const edge: Dashboard = {
  uid: 'aegis-edge',
  title: 'Aegis: edge',
  about: 'Who comes in, who is turned away, and what ends soon.',
  rows: [
    {
      title: 'Now',
      panels: [
        {
          title: 'Calls',
          about: 'A long poll and a stream are one call each.',
          unit: 'ops',
          stat: true,
          queries: [['sum(rate(aegis_gateway_calls_total[$__rate_interval]))', 'calls']],
        },
        {
          title: 'Failed by our fault',
          about: 'Of the last hour. 0.1 % is promised.',
          unit: 'percentunit',
          stat: true,
          queries: [['aegis:edge_errors:ratio_rate1h', 'failed']],
        },
        {
          title: 'First certificate to end',
          about: 'Of all services and uses.',
          unit: 'd',
          stat: true,
          queries: [['(min(aegis_certificate_expiry_timestamp_seconds) - time()) / 86400', 'left']],
        },
        {
          title: 'Revocation list ends in',
          about: 'After that no certified node is let in.',
          unit: 'd',
          stat: true,
          queries: [['(min(aegis_certificate_list_expiry_timestamp_seconds) - time()) / 86400', 'left']],
        },
      ],
    },
    {
      title: 'Admission',
      panels: [
        {
          title: 'Calls',
          about: 'By protocol.',
          unit: 'ops',
          queries: [['sum by (door) (rate(aegis_gateway_calls_total[$__rate_interval]))', '{{door}}']],
        },
        {
          title: 'Refusals',
          about: 'The ten most frequent codes; docs/errors.md says what each means.',
          unit: 'ops',
          queries: [['topk(10, sum by (code) (rate(aegis_gateway_refusals_total[$__rate_interval])) > 0)', '{{code}}']],
        },
        {
          title: 'Error budget',
          about: 'Burn rate: 1 spends the budget of 30 days in 30 days. 14.4 over an hour wakes somebody.',
          unit: 'short',
          queries: [
            ['aegis:edge_errors:ratio_rate5m / 0.001', '5 min'],
            ['aegis:edge_errors:ratio_rate30m / 0.001', '30 min'],
            ['aegis:edge_errors:ratio_rate1h / 0.001', '1 h'],
            ['aegis:edge_errors:ratio_rate6h / 0.001', '6 h'],
          ],
        },
        {
          title: 'Nodes',
          about: 'Online; native clients and guards; start_client connections.',
          unit: 'short',
          queries: [
            ['sum(aegis_gateway_nodes_online)', 'online'],
            ['sum(aegis_gateway_node_streams)', 'native and guards'],
            ['sum(aegis_gateway_join_streams)', 'start_client'],
          ],
        },
        {
          title: 'Invitations',
          about: 'That were offered, by what became of them.',
          unit: 'short',
          queries: [['sum by (outcome) (increase(aegis_gateway_invitations_total[$__rate_interval]))', '{{outcome}}']],
        },
      ],
    },
    {
      title: 'TLS and attacks',
      panels: [
        {
          title: 'Connections closed by the port',
          about: 'Too many, too many from one address, TLS that failed, or silence.',
          unit: 'ops',
          queries: [
            ['sum by (reason) (rate(aegis_gateway_connections_refused_total[$__rate_interval]))', '{{reason}}'],
          ],
        },
        {
          title: 'Strangers and repeated calls',
          about: 'Refused for who they are, or because the call was made before.',
          unit: 'ops',
          queries: [
            [
              'sum by (kind) (rate(aegis_gateway_refusals_total{kind=~"unauthenticated|forbidden"}[$__rate_interval]))',
              '{{kind}}',
            ],
            ['sum(rate(aegis_gateway_refusals_total{code="NODE_REPLAYED"}[$__rate_interval]))', 'repeated'],
          ],
        },
        {
          title: 'Told to slow down',
          about: 'Calls and connections over their rate, by class and by who pays for it.',
          unit: 'ops',
          queries: [
            ['sum by (class, payer) (rate(aegis_gateway_rate_limited_total[$__rate_interval]))', '{{class}} {{payer}}'],
          ],
        },
        {
          title: 'Pressure',
          about: '0: calm. 1: the event loop has no rest, strangers pay more. 2: memory runs out.',
          unit: 'short',
          queries: [['max by (instance) (aegis_gateway_pressure)', '{{instance}}']],
        },
        {
          title: 'Certificates end in',
          about: 'edge is what nodes see; server and client are what services show each other.',
          unit: 'd',
          queries: [
            [
              '(min by (job, certificate) (aegis_certificate_expiry_timestamp_seconds) - time()) / 86400',
              '{{job}} {{certificate}}',
            ],
            ['(min(aegis_issuer_certificate_ends) - time()) / 86400', 'issuer'],
          ],
        },
        {
          title: 'Certificates of nodes',
          about: 'Handed out and revoked by the issuer; changes on disk that gateways took or refused.',
          unit: 'short',
          queries: [
            ['sum by (what) (increase(aegis_issuer_certificates_total[$__rate_interval]))', 'issued: {{what}}'],
            ['sum(increase(aegis_issuer_revocations_total[$__rate_interval]))', 'revoked'],
            [
              'sum by (outcome) (increase(aegis_gateway_certificate_reloads_total[$__rate_interval]))',
              'reload {{outcome}}',
            ],
          ],
        },
      ],
    },
    {
      title: 'Load',
      panels: [
        {
          title: 'Connections and held pulls',
          about: 'A held pull waits for work and costs nothing.',
          unit: 'short',
          queries: [
            ['sum(aegis_gateway_connections)', 'connections'],
            ['sum(aegis_gateway_held_pulls)', 'held pulls'],
          ],
        },
        {
          title: 'Tasks',
          about: 'In mailboxes; handed to nodes; answered.',
          unit: 'short',
          queries: [
            ['sum(aegis_gateway_open_tasks)', 'open'],
            ['sum(increase(aegis_gateway_tasks_offered_total[$__rate_interval]))', 'offered'],
            ['sum by (verdict) (increase(aegis_gateway_updates_total[$__rate_interval]))', 'answers {{verdict}}'],
          ],
        },
        {
          title: 'Uploads',
          about: 'In hand, and parts made durable.',
          unit: 'short',
          queries: [
            ['sum(aegis_gateway_open_uploads)', 'open'],
            ['sum(increase(aegis_gateway_parts_total[$__rate_interval]))', 'parts'],
          ],
        },
        {
          title: 'Bytes',
          about: 'Of parts made durable, of large request bodies taken.',
          unit: 'Bps',
          queries: [
            ['sum(rate(aegis_gateway_part_bytes_total[$__rate_interval]))', 'parts'],
            ['sum(rate(aegis_gateway_body_bytes_total[$__rate_interval]))', 'bodies'],
          ],
        },
        {
          title: 'Bodies in memory',
          about: 'At most limits.upload-mib at each gateway; more is put off.',
          unit: 'bytes',
          queries: [['sum by (instance) (aegis_gateway_bodies_held_bytes)', '{{instance}}']],
        },
      ],
    },
  ],
};
