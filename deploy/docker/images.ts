// What there is to build. The names are what the compose file, the chart and the tests call them.
export interface Image {
  readonly title: string;
  /** The program that the image runs; none: NATS. */
  readonly entry?: string;
  /** Programs beside it, by the name of their file in /app. */
  readonly beside?: Readonly<Record<string, string>>;
  /** Stage of the Dockerfile. */
  readonly target?: 'service' | 'guard';
}

const health = { 'health.js': 'packages/service-kit/src/health-check.ts' };
const service = (name: string, title: string): Image => ({
  title,
  entry: `services/${name}/src/main.ts`,
  beside: health,
  target: 'service',
});

export const images: Readonly<Record<string, Image>> = {
  gateway: service('gateway', "Aegis' edge: one port for every client, identity and admission"),
  aggregator: service('aggregator', 'Runs and rounds of Aegis: intake, fold, strategies, models'),
  secagg: service('secagg', "Aegis' secure aggregation: shares and the total mask, no vector"),
  'privacy-accountant': service('privacy-accountant', "Aegis' privacy ledger"),
  issuer: service('issuer', "Certificates of Aegis' guards, for those who were invited"),
  guard: {
    title: "The data owner's guard, for a SuperNode in a container beside it",
    entry: 'cli/bin/aegis-guard.ts',
    target: 'guard',
  },
  nats: { title: 'NATS JetStream, as Aegis runs it' },
};
