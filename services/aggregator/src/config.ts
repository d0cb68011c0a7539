import { hostname } from 'node:os';
import { natsConfig } from '@aegis/bus';
import { keysConfig, s3Config } from '@aegis/cloud';
import { hostPort, listenShape, logConfig, metricsConfig, peerConfig, standbyPeerConfig } from '@aegis/service-kit';
import { z } from 'zod';

const GIB = 2 ** 30;

/** What an aggregator is told, wherever it runs. */
export const aggregatorConfig = z
  .strictObject({
    /** Keys, apps, models and intake live here. Several processes may share it: then one goes on with the runs of another that is gone. */
    'state-dir': z.string().min(1),
    /** A lease not renewed for this long belongs to nobody. */
    'lease-seconds': z.number().min(1).max(3600).default(15),
    /**
     * A run whose owner has been gone for so many seconds, with a state directory that is not this one, is gone on with here: what its round had
     * gathered is given up. Default: 600 with `s3`, where everything else that the run needs is at hand; else never, and only `aegis runs takeover` does that.
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
    /** Models and apps are kept there, for all aggregators; sealed before they leave. Default: on the volume, for whoever shares it. */
    s3: s3Config
      .extend({
        /** Of copies on the volume, which spare fetching. */
        'cache-bytes': z
          .number()
          .int()
          .positive()
          .default(16 * GIB),
      })
      .optional(),
    /** Who wraps the keys of models, apps and intake. Default: a key file in the state directory, made on first use. */
    keys: keysConfig.optional(),
  })
  .refine((one) => one.s3 === undefined || one.keys !== undefined, {
    path: ['keys'],
    error: 'is needed with s3: what one aggregator seals every other must open. Give kms, or a file that all have',
  });
export type AggregatorConfig = z.infer<typeof aggregatorConfig>;

/** The file of a separate process. */
export const processConfig = z.strictObject({
  aggregator: aggregatorConfig,
  listen: z.strictObject({
    ...listenShape,
    /** Where gateways reach this process and no other, when there are several; `{hostname}` stands for the machine's name. */
    advertise: z
      .string()
      .transform((text) => text.replaceAll('{hostname}', hostname()))
      .pipe(hostPort)
      .optional(),
  }),
  nats: natsConfig,
  /** The privacy accountant; without it private runs are refused. */
  accountant: standbyPeerConfig.optional(),
  /** The secagg service; without it masked runs are refused. */
  secagg: peerConfig.optional(),
  metrics: metricsConfig,
  log: logConfig,
});
export type ProcessConfig = z.infer<typeof processConfig>;
