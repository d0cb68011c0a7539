import type { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AegisError } from '@aegis/errors';
import { readRoots, secretFile, tlsFiles } from '@aegis/service-kit';
import { z } from 'zod';

const hostPort = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/, 'must be host:port');

/** What a secagg service is told, wherever it runs. */
export const secaggConfig = z.strictObject({
  /** PEM file of the federation's roots: signing certificates of nodes count if one of them issued it. Without it no round is opened. */
  'federation-root': z.string().min(1).optional(),
  /** Threads that one total mask is made on; default: as many as there are processors. */
  threads: z.number().int().min(1).max(256).optional(),
});
export type SecaggConfig = z.infer<typeof secaggConfig>;

/** The file of a separate process. */
export const processConfig = z.strictObject({
  secagg: secaggConfig,
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

/** CONFIG_INVALID for a file that holds no certificate. */
export const readFederationRoots = (file: string): X509Certificate[] => {
  try {
    const roots = readRoots(readFileSync(file, 'utf8'));
    if (roots.length > 0) return roots;
  } catch (cause) {
    throw new AegisError('CONFIG_INVALID', `federation-root: ${file} cannot be read.`, cause);
  }
  throw new AegisError('CONFIG_INVALID', `federation-root: ${file} holds no certificate.`);
};
