import { hostname } from 'node:os';
import { secretFile, tlsFiles } from '@aegis/service-kit';
import { z } from 'zod';

const GIB = 2 ** 30;
const hostPort = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/, 'must be host:port');

/** What an aggregator is told, wherever it runs. */
export const aggregatorConfig = z.strictObject({
  /** Keys, apps, models and intake live here. Several processes may share it: then one goes on with the runs of another that is gone. */
  'state-dir': z.string().min(1),
  /** A lease not renewed for this long belongs to nobody. */
  'lease-seconds': z.number().min(1).max(3600).default(15),
  /**
   * A run whose owner has been gone for so many seconds, with a state directory that is not this one, is gone on with here: what its round had
   * gathered is given up. Without it, only `aegis runs takeover` does that.
   */
  'abandon-volume-after': z.number().min(1).optional(),
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

/** Another service. */
const peer = z
  .strictObject({
    address: hostPort,
    tls: tlsFiles.optional(),
    insecure: z.boolean().default(false),
    'server-name': z.string().optional(),
  })
  .refine((one) => (one.tls === undefined) === one.insecure, { error: 'give either tls or insecure: true' });

/** The file of a separate process. */
export const processConfig = z.strictObject({
  aggregator: aggregatorConfig,
  listen: z.strictObject({
    address: hostPort,
    /** Where gateways reach this process and no other, when there are several; `{hostname}` stands for the machine's name. */
    advertise: z
      .string()
      .transform((text) => text.replaceAll('{hostname}', hostname()))
      .pipe(hostPort)
      .optional(),
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
  /** The privacy accountant; without it private runs are refused. */
  accountant: peer.optional(),
  /** The secagg service; without it masked runs are refused. */
  secagg: peer.optional(),
  /** Where Prometheus reads; without it nobody can. */
  metrics: z.strictObject({ address: hostPort }).optional(),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') }).default({ level: 'info' }),
});
export type ProcessConfig = z.infer<typeof processConfig>;
