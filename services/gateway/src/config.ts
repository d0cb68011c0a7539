import { readFileSync, statSync } from 'node:fs';
import { AegisError } from '@aegis/errors';
import { Secret, secretFile, tlsFiles } from '@aegis/service-kit';
import { z } from 'zod';
import { connectionsPerAddress, defaultConnections } from './open-files.ts';

const hostPort = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/, 'must be host:port');
const positive = z.number().int().positive();

/** What a gateway needs, whether it runs alone or inside `aegis up`. Keys are those of config.example.yaml. */
const gatewayShape = {
  /** Distinguishes replicas; default: a new one with every start. */
  id: z.string().min(1).max(64).optional(),
  listen: hostPort,
  /** Certificate and key of the one port. Absent only with `insecure: true`. */
  tls: z.strictObject({ cert: z.string().min(1), key: z.string().min(1) }).optional(),
  insecure: z.boolean().default(false),
  enrolment: z.enum(['open', 'registered']),
  /** Who may use Flower's Control API, which knows no accounts (domain/control-access.ts). */
  control: z.enum(['loopback', 'open', 'off']).default('loopback'),
  /** Bearer token of the operator's door, in a file only its owner may read. Without it the door is shut. */
  'operator-token-file': z.string().min(1).optional(),
  /** Seconds an empty pull is held. Flower's HTTP client gives up after 30. */
  'hold-seconds': z.number().min(0).max(25).default(20),
  /** Where /metrics is served besides loopback callers of the one port. */
  metrics: z.strictObject({ address: hostPort }).optional(),
  limits: z
    .strictObject({
      /** MiB of request bodies held at once; more are told to come back. */
      'upload-mib': positive.default(256),
      'model-cache-mib': positive.default(64),
      'message-cache-mib': positive.default(64),
      'reply-cache-mib': positive.default(64),
      /** MiB of one gRPC message: what an operator may import at once. Flower's calls have smaller limits of their own. */
      'message-mib': positive.max(2047).default(512),
      /** Default: what the limit of open files allows, less a reserve. */
      connections: positive.default(defaultConnections),
      /** Default: a quarter of `connections`, and at least 256. */
      'connections-per-address': positive.optional(),
    })
    .transform((limits) => ({
      ...limits,
      'connections-per-address': limits['connections-per-address'] ?? connectionsPerAddress(limits.connections),
    }))
    .prefault({}),
};

const secured = (config: { tls?: unknown; insecure: boolean }): boolean =>
  (config.tls === undefined) === config.insecure;
const securedMessage = { error: 'give either tls or insecure: true' };

export const gatewayConfig = z.strictObject(gatewayShape).refine(secured, securedMessage);
export type GatewayConfig = z.infer<typeof gatewayConfig>;

/** The separate process: the same, and the way to the others. */
export const processConfig = z.strictObject({
  gateway: gatewayConfig,
  nats: z.strictObject({
    servers: z.array(z.string().min(1)).min(1),
    user: z.string().optional(),
    'password-file': secretFile.optional(),
    tls: tlsFiles.optional(),
    replicas: z.union([z.literal(1), z.literal(3), z.literal(5)]).default(1),
  }),
  aggregator: z
    .strictObject({
      address: hostPort,
      tls: tlsFiles.optional(),
      insecure: z.boolean().default(false),
      'server-name': z.string().optional(),
    })
    .refine(secured, securedMessage),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') }).default({ level: 'info' }),
});
export type ProcessConfig = z.infer<typeof processConfig>;

export const splitHostPort = (address: string): { host: string; port: number } => {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
};

/** Refuses a token that others on the machine may read. */
export const readOperatorToken = (file: string): Secret => {
  let text: string;
  try {
    if ((statSync(file).mode & 0o077) !== 0) {
      throw new AegisError('CONFIG_INVALID', `operator-token-file: ${file} is open to others; chmod 600 it.`);
    }
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (error instanceof AegisError) throw error;
    throw new AegisError('CONFIG_INVALID', `operator-token-file: ${file} cannot be read.`, error);
  }
  if (text.length < 16) throw new AegisError('CONFIG_INVALID', `operator-token-file: ${file} holds no token.`);
  return new Secret(text);
};
