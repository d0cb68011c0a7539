import { natsConfig } from '@aegis/bus';
import { drainAfterConfig, listenShape, logConfig, metricsConfig } from '@aegis/service-kit';
import { z } from 'zod';

/** What a secagg service is told, wherever it runs. */
export const secaggConfig = z.strictObject({
  /** PEM file of the federation's roots: signing certificates of nodes count if one of them issued it. Without it no round is opened. */
  'federation-root': z.string().min(1).optional(),
  /** PEM file of what those roots revoked, read again when it changes; default: nothing is known to be revoked. */
  'federation-crl': z.string().min(1).optional(),
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
  'drain-after-seconds': drainAfterConfig,
  log: logConfig,
});
export type ProcessConfig = z.infer<typeof processConfig>;
