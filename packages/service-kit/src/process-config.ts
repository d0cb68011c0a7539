// What the files of all services that run as processes of their own have in common. Each service puts its own part beside these.
import { z } from 'zod';
import { tlsFiles } from './tls-material.ts';

export const hostPort = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/, 'must be host:port');

const secured = (one: { tls?: unknown; insecure: boolean }): boolean => (one.tls === undefined) === one.insecure;
const securedMessage = { error: 'give either tls or insecure: true' };

/** The way to another service; `address` where there may be more than one of it. */
export const peersConfig = <T extends z.ZodType>(address: T) =>
  z
    .strictObject({
      address,
      tls: tlsFiles.optional(),
      /** Plain text; for development only. */
      insecure: z.boolean().default(false),
      /** The name its certificate must have; default: the host. */
      'server-name': z.string().optional(),
    })
    .refine(secured, securedMessage);
export const peerConfig = peersConfig(hostPort);
/** Of a service of which one process answers and the others stand by: all of them. */
export const standbyPeerConfig = peersConfig(
  z.union([hostPort, z.array(hostPort).min(1)]).transform((one) => [one].flat() as [string, ...string[]]),
);
export type StandbyPeerConfig = z.infer<typeof standbyPeerConfig>;
export type PeerConfig = z.infer<typeof peerConfig>;

/** Where a service is called; more keys of its own beside. */
export const listenShape = {
  address: hostPort,
  tls: tlsFiles.optional(),
  /** Plain text; for development only. */
  insecure: z.boolean().default(false),
  /** For each service, the certificate names that may call it. */
  callers: z.record(z.string(), z.array(z.string().min(1))).default({}),
};

/** Seconds a process goes on serving after SIGTERM, while /readyz already says no: as long as those who route to it need to learn that. */
export const drainAfterConfig = z.number().min(0).max(60).default(0);

/** Where Prometheus and probes ask (metrics-door.ts); without it nobody can. */
export const metricsConfig = z.strictObject({ address: hostPort }).optional();

export const logConfig = z
  .strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') })
  .default({ level: 'info' });
