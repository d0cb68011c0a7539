import { createSecretKey, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { natsConfig } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import {
  drainAfterConfig,
  hostPort,
  isOpenToOthers,
  logConfig,
  metricsConfig,
  peerConfig,
  peersConfig,
  Secret,
  standbyPeerConfig,
} from '@aegis/service-kit';
import { z } from 'zod';
import { accountsConfig } from './accounts-config.ts';
import { connectionsPerAddress, defaultConnections } from './open-files.ts';
import { ratesConfig } from './rates-config.ts';

const positive = z.number().int().positive();

/** What a gateway needs, whether it runs alone or inside `aegis up`. Keys are those of config.example.yaml. */
const gatewayShape = {
  /** Distinguishes replicas; default: a new one with every start. */
  id: z.string().min(1).max(64).optional(),
  listen: hostPort,
  /** Certificate and key of the one port. Absent only with `insecure: true`. */
  tls: z
    .strictObject({
      cert: z.string().min(1),
      key: z.string().min(1),
      /** Authorities of client certificates: the federation's root. */
      'client-ca': z.string().min(1).optional(),
      /** What they revoked. */
      'client-crl': z.string().min(1).optional(),
    })
    .optional(),
  /** Whether callers are asked for a certificate (domain/client-certificate.ts). */
  'client-certificates': z.enum(['off', 'accept', 'require']).default('off'),
  insecure: z.boolean().default(false),
  enrolment: z.enum(['open', 'registered']),
  /**
   * When a node's signature is verified: on each call, or once per connection and key, which needs TLS that ends here: see
   * flows/proven-keys.ts.
   */
  signatures: z.enum(['per-call', 'per-connection']).default('per-call'),
  /** Who may use Flower's Control API (domain/control-access.ts). */
  control: z.enum(['loopback', 'open', 'accounts', 'off']).default('loopback'),
  /** Whose accounts count with `control: accounts`, besides operators' tokens. */
  accounts: accountsConfig.optional(),
  /** Lets in Flower's start_client, which shows no identity, for runs whose plan says `aegis.join = true`. */
  join: z.boolean().default(false),
  /** Opens /api/v1 (api/rest), for clients that know neither Flower nor gRPC. With `enrolment: registered` they need an invitation. */
  rest: z.boolean().default(false),
  /**
   * 32 bytes in hex, in a file only its owner may read, the same at every gateway: secrets of REST clients are derived from it. With
   * another one all of them have to register again.
   */
  'rest-key-file': z.string().min(1).optional(),
  /** Bearer token of the operator's door, in a file only its owner may read. Without it the door is shut. */
  'operator-token-file': z.string().min(1).optional(),
  /** JSON file of further operators, each with a name, a role and the hash of a token (`aegis operators add`); read again when it changes. */
  'operators-file': z.string().min(1).optional(),
  /**
   * 32 bytes in hex, in a file only its owner may read, the same at every gateway: pseudonyms of nodes in privacy budgets are made with it.
   * Without it the gateway's nodes take no part in private runs; with another one every unit would be a new one.
   */
  'unit-key-file': z.string().min(1).optional(),
  /**
   * 32 bytes in hex, in a file only its owner may read, the same at every gateway: pages of the audit log are coded with it. Without it no log is
   * kept; with another one the log that is there does not verify, and nothing is written to it.
   */
  'audit-key-file': z.string().min(1).optional(),
  /** Seconds an empty pull is held. Flower's HTTP client gives up after 30. */
  'hold-seconds': z.number().min(0).max(25).default(20),
  limits: z
    .strictObject({
      /** MiB of request bodies held at once; more wait, unread. */
      'upload-mib': positive.default(24),
      /** Seconds a body waits for room before its sender is told to come back. */
      'upload-wait-seconds': z.number().positive().max(25).default(20),
      'model-cache-mib': positive.default(48),
      'message-cache-mib': positive.default(64),
      'reply-cache-mib': positive.default(64),
      /** MiB of one gRPC message: what an operator may import at once. Flower's calls have smaller limits of their own. */
      'message-mib': positive.max(2047).default(512),
      /** How many REST clients may register from one address in a minute; an IPv6 network of 64 bits counts as one. */
      'rest-registrations-per-minute': positive.default(60),
      /** How many calls of each class an address or a node may make (rates-config.ts). */
      rates: ratesConfig,
      /** Calls in ten seconds over a connection on which nobody has shown who it is. */
      'calls-of-strangers': positive.default(100),
      /** Addresses whose callers are not held to the rates of one address: balancers that hide whom they speak for. */
      'unlimited-addresses': z.array(z.union([z.ipv4(), z.ipv6()])).default([]),
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

/** Without TLS anybody on the way could go on speaking on a connection that a node had proved to be its own. */
const boundByTls = (config: { tls?: unknown; signatures: string }): boolean =>
  config.signatures === 'per-call' || config.tls !== undefined;
const boundByTlsMessage = {
  error: 'per-connection needs tls that ends at this gateway; in plain text leave it at per-call',
  path: ['signatures'],
};

const asksRightly = (config: { tls?: { 'client-ca'?: unknown } | undefined; 'client-certificates': string }): boolean =>
  (config['client-certificates'] === 'off') === (config.tls?.['client-ca'] === undefined);
const asksRightlyMessage = {
  error: 'accept and require need tls.client-ca, and off has no use for it',
  path: ['client-certificates'],
};
const joinIsOpen = (config: { join: boolean; enrolment: string }): boolean =>
  !config.join || config.enrolment === 'open';
const joinIsOpenMessage = {
  error: 'start_client shows no key: it can only be let in with enrolment: open',
  path: ['join'],
};

const restHasKey = (config: { rest: boolean; 'rest-key-file'?: unknown }): boolean =>
  !config.rest || config['rest-key-file'] !== undefined;
const restHasKeyMessage = { error: 'rest: true needs it', path: ['rest-key-file'] };

const accountsHaveUse = (config: { accounts?: unknown; control: string }): boolean =>
  config.accounts === undefined || config.control === 'accounts';
const accountsHaveUseMessage = { error: 'has a use with control: accounts only', path: ['accounts'] };
/** Somebody must be able to come in. */
const accountsAreKnown = (config: {
  accounts?: unknown;
  control: string;
  'operators-file'?: unknown;
  'operator-token-file'?: unknown;
}): boolean =>
  config.control !== 'accounts' ||
  [config.accounts, config['operators-file'], config['operator-token-file']].some((one) => one !== undefined);
const accountsAreKnownMessage = {
  error: 'accounts needs an identity provider (accounts), or tokens (operators-file, operator-token-file)',
  path: ['control'],
};

export const gatewayConfig = z
  .strictObject(gatewayShape)
  .refine(joinIsOpen, joinIsOpenMessage)
  .refine(restHasKey, restHasKeyMessage)
  .refine(accountsHaveUse, accountsHaveUseMessage)
  .refine(accountsAreKnown, accountsAreKnownMessage)
  .refine(secured, securedMessage)
  .refine(boundByTls, boundByTlsMessage)
  .refine(asksRightly, asksRightlyMessage);
export type GatewayConfig = z.infer<typeof gatewayConfig>;

/** The separate process: the same, and the way to the others. */
export const processConfig = z.strictObject({
  gateway: gatewayConfig,
  nats: natsConfig,
  /** One, or all there are: calls about a run go to its owner, wherever that says it is; others to the first that answers. */
  aggregator: peersConfig(
    z.union([hostPort, z.array(hostPort).min(1)]).transform((one) => [one].flat() as [string, ...string[]]),
  ),
  /** The privacy accountant; without it there are no budgets. */
  accountant: standbyPeerConfig.optional(),
  /** The secagg service; without it nodes take part in no masked round. */
  secagg: peerConfig.optional(),
  /** The issuer of short-lived certificates; without it they are made by hand. */
  issuer: peerConfig.optional(),
  /** Where /metrics is served besides loopback callers of the one port; /livez and /readyz too. */
  metrics: metricsConfig,
  'drain-after-seconds': drainAfterConfig,
  log: logConfig,
});
export type ProcessConfig = z.infer<typeof processConfig>;

export const splitHostPort = (address: string): { host: string; port: number } => {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
};

/** Refuses a token that others on the machine may read. */
export const readOperatorToken = (file: string): Secret => {
  const text = readPrivate('operator-token-file', file);
  if (text.length < 16) throw new AegisError('CONFIG_INVALID', `operator-token-file: ${file} holds no token.`);
  return new Secret(text);
};

export const readClientSecret = (file: string): Secret => {
  const text = readPrivate('accounts.client-secret-file', file);
  if (text === '') throw new AegisError('CONFIG_INVALID', `accounts.client-secret-file: ${file} is empty.`);
  return new Secret(text);
};

export const readUnitKey = (file: string): KeyObject => readKey('unit-key-file', file);
export const readAuditKey = (file: string): Secret =>
  new Secret(readKey('audit-key-file', file).export().toString('hex'));
export const readRestKey = (file: string): KeyObject => readKey('rest-key-file', file);

const readKey = (key: string, file: string): KeyObject => {
  const text = readPrivate(key, file);
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new AegisError('CONFIG_INVALID', `${key}: ${file} must hold 32 bytes as 64 hex digits.`);
  return createSecretKey(text, 'hex');
};

function readPrivate(key: string, file: string): string {
  try {
    if (isOpenToOthers(statSync(file))) {
      throw new AegisError('CONFIG_INVALID', `${key}: ${file} is open to others; chmod 600 it.`);
    }
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (error instanceof AegisError) throw error;
    throw new AegisError('CONFIG_INVALID', `${key}: ${file} cannot be read.`, error);
  }
}
