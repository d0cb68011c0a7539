import { secretFile, tlsFiles } from '@aegis/service-kit';
import { z } from 'zod';

const GIB = 2 ** 30;
const hostPort = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/, 'must be host:port');

/** What an aggregator is told, wherever it runs. */
export const aggregatorConfig = z.strictObject({
  /** Keys, apps, models and intake live here; one process at a time. */
  'state-dir': z.string().min(1),
  /** A lease not renewed for this long belongs to nobody. */
  'lease-seconds': z.number().min(1).max(3600).default(15),
  /** Bytes of a first model: what a node may send, and what an imported file may unpack to. */
  'initial-model-bytes': z
    .number()
    .int()
    .positive()
    .default(4 * GIB),
  /** Tasks written to mailboxes at the same time. */
  'parallel-tasks': z.number().int().min(1).max(1024).default(64),
});
export type AggregatorConfig = z.infer<typeof aggregatorConfig>;

/** The file of a separate process. */
export const processConfig = z.strictObject({
  aggregator: aggregatorConfig,
  listen: z.strictObject({
    address: hostPort,
    tls: tlsFiles.optional(),
    /** Plain text; for development only. */
    insecure: z.boolean().default(false),
    /** For each service, the certificate names that may call it. */
    callers: z.record(z.string(), z.array(z.string().min(1))).default({}),
  }),
  nats: z.strictObject({
    servers: z.array(z.string().min(1)).min(1),
    user: z.string().optional(),
    'password-file': secretFile.optional(),
    tls: tlsFiles.optional(),
    replicas: z.union([z.literal(1), z.literal(3), z.literal(5)]).default(1),
  }),
  /** Where Prometheus reads; without it nobody can. */
  metrics: z.strictObject({ address: hostPort }).optional(),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') }).default({ level: 'info' }),
});
export type ProcessConfig = z.infer<typeof processConfig>;
