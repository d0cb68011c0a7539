import { dirname, resolve } from 'node:path';
import { aggregatorConfig, startAggregator } from '@aegis/aggregator';
import { connectBus } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import { type AccountsConfig, accountsConfig, gatewayConfig, startGateway } from '@aegis/gateway';
import { accountantConfig, startAccountant } from '@aegis/privacy-accountant';
import { secaggConfig, startSecagg } from '@aegis/secagg';
import {
  createLogger,
  createTelemetry,
  grpcChannel,
  inProcessChannel,
  type Logger,
  loadConfig,
  openDevPki,
  readTls,
  type ServiceChannel,
  systemClock,
  systemRandom,
  type Telemetry,
} from '@aegis/service-kit';
import { formatAddress } from '../connection.ts';
import { ensureGatewayCertificate } from '../pki.ts';
import { prepareStateDirectory, type StateDirectory, writeConnectionFile } from '../state-directory.ts';
import { lockState } from '../state-lock.ts';
import { version } from '../version.ts';
import { demandFreePort, listenFailure } from './free-port.ts';
import { ensureKeyFile } from './key-file.ts';
import { findNatsServer, startNatsChild } from './nats-child.ts';
import { ensureOperatorToken } from './operator-token.ts';

export type Enrolment = 'open' | 'registered';
export type ControlPolicy = 'loopback' | 'open' | 'accounts' | 'off';
export type CertificateRule = 'off' | 'accept' | 'require';
export type SignatureRule = 'per-call' | 'per-connection';

export interface ClientCertificates {
  readonly rule: CertificateRule;
  readonly ca: string | undefined;
  readonly crl: string | undefined;
}

export interface SuiteOptions {
  readonly state: StateDirectory;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly san: readonly string[];
  readonly enrolment: Enrolment;
  /** Who may use Flower's Control API. */
  readonly control: ControlPolicy;
  /** YAML file: the identity provider of `control: accounts`. */
  readonly accounts?: string | undefined;
  /** When a node's signature is verified. */
  readonly signatures: SignatureRule;
  /** Lets in Flower's start_client. */
  readonly join: boolean;
  /** Whether nodes show certificates, and whose. */
  readonly clients: ClientCertificates;
  /** host:port of the issuer, which is a process of its own. */
  readonly issuer?: string | undefined;
  readonly insecure: boolean;
  /** Head of a privacy ledger that is accepted although its anchor contradicts it. */
  readonly acceptLedger?: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** Raised while the suite starts: whatever is up already is closed again. */
  readonly signal: AbortSignal;
}

/** What one needs to know to use a running suite. */
export interface SuiteFacts {
  readonly address: string;
  readonly host: string;
  readonly port: number;
  /** PEM file; null with plain text. */
  readonly ca: string | null;
  readonly tokenFile: string;
  readonly insecure: boolean;
  readonly enrolment: Enrolment;
  readonly control: ControlPolicy;
  readonly state: string;
  readonly log: string;
  readonly pid: number;
  readonly natsPid: number;
}

export interface Suite {
  readonly facts: SuiteFacts;
  /** Answers what is under way, then ends everything, in the reverse order of the start. Repeating it changes nothing. */
  close(): Promise<void>;
}

/**
 * The whole suite in this process: a private nats-server as a child, the privacy accountant, the secagg service, the aggregator, and the gateway, which
 * reaches the others without a wire. A start that fails leaves nothing behind.
 */
export async function startSuite(options: SuiteOptions): Promise<Suite> {
  const { state, host, port, san, enrolment, control, signatures, join, clients, insecure, acceptLedger, env, signal } =
    options;
  if (insecure && signatures === 'per-connection')
    throw new AegisError('CONFIG_INVALID', '--signatures per-connection needs TLS: leave out --insecure.');
  if (clients.rule === 'off' && clients.ca !== undefined)
    throw new AegisError('CONFIG_INVALID', '--client-ca needs --client-certificates accept (or require).');
  if (clients.rule !== 'off' && (clients.ca === undefined || insecure))
    throw new AegisError(
      'CONFIG_INVALID',
      `--client-certificates ${clients.rule} needs ${insecure ? 'TLS: leave out --insecure' : "--client-ca FILE, the federation's root.pem"}.`,
    );
  if (options.issuer !== undefined && (clients.rule === 'off' || clients.crl === undefined))
    throw new AegisError(
      'CONFIG_INVALID',
      '--issuer needs --client-certificates accept (or require), --client-ca and --client-crl: nobody could be shut out otherwise.',
    );
  if (join && enrolment !== 'open')
    throw new AegisError('CONFIG_INVALID', '--join needs --enrolment open: start_client shows no key to register.');
  const accounts = options.accounts === undefined ? undefined : accountsIn(options.accounts, control);
  const undo: (() => Promise<void>)[] = [];
  let log: Logger | undefined;
  const close = async () => {
    for (const step of undo.splice(0).reverse()) {
      await step().catch((error: unknown) => log?.error({ err: error }, 'closing failed'));
    }
  };
  try {
    const binary = await findNatsServer(env);
    await prepareStateDirectory(state);
    undo.push(await lockState(state.lock, state.root));
    if (port !== 0) await demandFreePort({ host, port });
    log = createLogger({ name: 'aegis', destination: state.log });
    const tls = insecure ? undefined : await ensureGatewayCertificate(state.pki, { san, now: systemClock.now() });
    await ensureOperatorToken(state.operatorToken, systemRandom);
    await ensureKeyFile(state.unitKey, systemRandom);
    await ensureKeyFile(state.restKey, systemRandom);
    await ensureKeyFile(state.auditKey, systemRandom);
    const telemetry = createTelemetry({ service: 'aegis', version, env });
    undo.push(() => telemetry.shutdown());
    signal.throwIfAborted();

    const nats = await startNatsChild(binary, state, { log: log.child({ part: 'nats' }), clock: systemClock });
    undo.push(() => nats.stop());
    signal.throwIfAborted();
    const { url, credentials } = nats;
    const bus = await connectBus({ servers: url, credentials, name: 'aegis', replicas: 1, log, telemetry });
    undo.push(() => bus.close());

    const deps = { bus, telemetry, clock: systemClock, random: systemRandom };
    const accountant = await startAccountant(
      accountantConfig.parse({ 'state-dir': state.accountant, ...(acceptLedger && { 'accept-head': acceptLedger }) }),
      { ...deps, log: log.child({ part: 'accountant' }) },
    );
    undo.push(() => accountant.close());
    undo.push(() => accountant.drain());
    const ledger = inProcessChannel(accountant.services, { log, telemetry });
    undo.push(() => ledger.close());
    const secagg = await startSecagg(
      // The root that vouches for nodes at the door vouches for their signing certificates as well.
      secaggConfig.parse({
        ...(clients.ca !== undefined && { 'federation-root': clients.ca }),
        ...(clients.ca !== undefined && clients.crl !== undefined && { 'federation-crl': clients.crl }),
      }),
      { ...deps, log: log.child({ part: 'secagg' }) },
    );
    undo.push(() => secagg.drain());
    const masks = inProcessChannel(secagg.services, { log, telemetry });
    undo.push(() => masks.close());
    const aggregator = await startAggregator(aggregatorConfig.parse({ 'state-dir': state.aggregator }), {
      ...deps,
      log: log.child({ part: 'aggregator' }),
      ledger,
      // without a root no certificate could be checked: then plans are refused, instead of rounds
      secagg: clients.ca === undefined ? null : masks,
    });
    undo.push(() => aggregator.close());
    undo.push(() => aggregator.drain());
    const channel = inProcessChannel(aggregator.services, { log, telemetry });
    undo.push(() => channel.close());
    signal.throwIfAborted();

    const issuer = options.issuer === undefined ? undefined : await wayToIssuer(options.issuer, state, telemetry);
    if (issuer) undo.push(() => issuer.close());
    const gateway = await startGateway(
      gatewayConfig.parse({
        listen: formatAddress({ host, port }),
        ...(tls === undefined
          ? {}
          : { tls: { cert: tls.cert, key: tls.key, 'client-ca': clients.ca, 'client-crl': clients.crl } }),
        insecure,
        enrolment,
        control,
        accounts,
        signatures,
        join,
        'client-certificates': clients.rule,
        'operator-token-file': state.operatorToken,
        'operators-file': state.operators,
        'unit-key-file': state.unitKey,
        'audit-key-file': state.auditKey,
        rest: true,
        'rest-key-file': state.restKey,
      }),
      { ...deps, log: log.child({ part: 'gateway' }), aggregator: channel, accountant: ledger, secagg: masks, issuer },
    ).catch((error: unknown) => {
      throw listenFailure({ host, port }, error);
    });
    undo.push(() => gateway.close());
    undo.push(() => gateway.drain());

    const reach = { host: connectHost(host), port: gateway.address.port };
    const address = formatAddress(reach);
    const ca = tls?.ca ?? null;
    await writeConnectionFile(state, { address, ca, tokenFile: state.operatorToken, insecure });
    signal.throwIfAborted();
    const { root, operatorToken: tokenFile, log: logFile } = state;
    const facts = {
      address,
      ...reach,
      ca,
      tokenFile,
      insecure,
      enrolment,
      control,
      state: root,
      log: logFile,
      pid: process.pid,
    };
    return { facts: { ...facts, natsPid: nats.pid() }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What the gateway's file says under `accounts`. A path in it starts where the file is. */
const accountsIn = (file: string, control: ControlPolicy): AccountsConfig => {
  if (control !== 'accounts') throw new AegisError('CONFIG_INVALID', '--accounts needs --control accounts.');
  const accounts = loadConfig(file, accountsConfig);
  const secret = accounts['client-secret-file'];
  return secret === undefined ? accounts : { ...accounts, 'client-secret-file': resolve(dirname(file), secret) };
};

/** By the development certificates that `aegis issuer` of the same state directory has. */
const wayToIssuer = async (address: string, { pki }: StateDirectory, telemetry: Telemetry): Promise<ServiceChannel> => {
  const files = await (await openDevPki(pki)).issue({ name: 'gateway-client', commonName: 'gateway' });
  return grpcChannel({ address, tls: readTls(files), telemetry, serverName: 'localhost' });
};

/** A suite that listens everywhere is reached from here by loopback. */
const connectHost = (host: string): string => (host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host);
