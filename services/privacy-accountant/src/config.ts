import { natsConfig } from '@aegis/bus';
import { keysConfig, s3Config } from '@aegis/cloud';
import { listenShape, logConfig, metricsConfig } from '@aegis/service-kit';
import { z } from 'zod';

/** What an accountant is told, wherever it runs. */
export const accountantConfig = z
  .strictObject({
    /** Keys and owner lie here. Processes that are to take over from each other share it, or have copies of its keys. */
    'state-dir': z.string().min(1),
    /** Where the anchor lies; default: in the state directory. Not where NATS keeps its store, nor in the same backup. */
    'anchor-file': z.string().min(1).optional(),
    /** Or as one object of a versioned bucket, which nobody else needs to write to. */
    'anchor-s3': s3Config.extend({ name: z.string().min(1).default('privacy-ledger/anchor') }).optional(),
    /** Seals the keys in the state directory. Without it they lie there as they are. */
    keys: keysConfig.optional(),
    /** A writer that is silent for so long is taken to be gone. */
    'lease-seconds': z.number().min(1).max(3600).default(5),
    /**
     * Head of a history that is accepted although the anchor contradicts it, as `aegis ledger verify` prints it: the operator's word that what
     * was lost is known. Counts once; docs/operations.md.
     */
    'accept-head': z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal characters')
      .optional(),
  })
  .refine((one) => one['anchor-file'] === undefined || one['anchor-s3'] === undefined, {
    path: ['anchor-s3'],
    error: 'and anchor-file are two places; give one',
  });
export type AccountantConfig = z.infer<typeof accountantConfig>;

/** The file of a separate process. */
export const processConfig = z.strictObject({
  accountant: accountantConfig,
  listen: z.strictObject(listenShape),
  nats: natsConfig,
  metrics: metricsConfig,
  log: logConfig,
});
export type ProcessConfig = z.infer<typeof processConfig>;
