import type { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { natsConfig } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import { listenShape, logConfig, metricsConfig, readRoots } from '@aegis/service-kit';
import { z } from 'zod';

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
  listen: z.strictObject(listenShape),
  nats: natsConfig,
  metrics: metricsConfig,
  log: logConfig,
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
