import { type Logger, readTls, secretFile, type Telemetry, tlsFiles } from '@aegis/service-kit';
import { z } from 'zod';
import { connectBus } from './connect.ts';
import type { Bus } from './contract.ts';

/** The way to NATS, in the file of every service. */
export const natsConfig = z
  .strictObject({
    servers: z.array(z.string().min(1)).min(1),
    user: z.string().min(1).optional(),
    'password-file': secretFile.optional(),
    tls: tlsFiles.optional(),
    replicas: z.union([z.literal(1), z.literal(3), z.literal(5)]).optional(),
  })
  .refine((one) => (one.user === undefined) === (one['password-file'] === undefined), {
    error: 'user and password-file are given together or not at all',
  });

export const openBus = (
  { servers, user, 'password-file': password, tls, replicas }: z.infer<typeof natsConfig>,
  parts: { readonly name: string; readonly log: Logger; readonly telemetry: Telemetry },
): Promise<Bus> => {
  // What cannot be read is said now, and not by a connection that never comes.
  if (tls) readTls(tls);
  return connectBus({
    ...{ servers, replicas, patient: true, name: parts.name, log: parts.log, telemetry: parts.telemetry },
    ...(user !== undefined && password !== undefined && { credentials: { user, password } }),
    tls,
  });
};
