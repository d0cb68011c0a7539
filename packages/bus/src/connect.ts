import {
  type Logger,
  noTelemetry,
  type Secret,
  silentLogger,
  type Telemetry,
  type TlsFiles,
  type TlsMaterial,
} from '@aegis/service-kit';
import { openBucket } from './bucket.ts';
import type { BucketName } from './buckets.ts';
import type { Bucket, Bus, Journal } from './contract.ts';
import { publishEvent, subscribeEvents } from './events.ts';
import { openJournal } from './journal.ts';
import type { JournalName } from './journals.ts';
import { type Link, openLink } from './link.ts';
import { openRunLog, type RunLog } from './run-log.ts';

export interface BusCredentials {
  readonly user: string;
  readonly password: Secret;
}

export interface BusOptions {
  /** nats://host:port, one or several of a cluster. */
  servers: string | readonly string[];
  credentials?: BusCredentials | undefined;
  /** Files are read at every connection, so that a renewed certificate counts from the next on. */
  tls?: TlsMaterial | TlsFiles | undefined;
  /** Shown by the server for this connection. */
  name: string;
  /** Copies of every stream: 1 alone, 3 or 5 in a cluster. */
  replicas?: 1 | 3 | 5;
  /** Milliseconds a call, this one included, waits during an outage; default 10 s. */
  outageWaitMs?: number;
  /** A first server, and every bucket and journal when it is opened, is waited for as long as it takes, and the log says so. */
  patient?: boolean;
  log?: Logger;
  telemetry?: Telemetry;
}

/** The connection under a bus. */
export const openBusLink = (options: BusOptions): Promise<Link> => {
  const { credentials, tls, name, outageWaitMs = 10_000, patient = false, log = silentLogger } = options;
  return openLink({
    connection: {
      servers: [options.servers].flat() as string[],
      name,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 200,
      reconnectJitter: 100,
      // A server that restarts may refuse logins for a moment; that must not end the connection for good.
      ignoreAuthErrorAbort: true,
      pingInterval: 10_000,
      maxPingOut: 2,
      // A stack for each request, made before anybody knows whether it fails. Our own errors say what was asked.
      noAsyncTraces: true,
      ...(credentials !== undefined && { user: credentials.user, pass: credentials.password.reveal() }),
      ...(tls !== undefined && { tls: connectionTls(tls) }),
    },
    outageWaitMs,
    patient,
    log,
  });
};

export const connectBus = async (options: BusOptions): Promise<Bus> => {
  const { replicas = 1, telemetry = noTelemetry } = options;
  const link = await openBusLink(options);
  telemetry.meter
    .createObservableGauge('aegis_nats_connected', { description: '1 while the connection to NATS is up, else 0.' })
    .addCallback((result) => result.observe(link.isUp() ? 1 : 0));
  const opened = new Map<BucketName, Promise<Bucket>>();
  const journals = new Map<JournalName, Promise<Journal>>();
  let runLog: Promise<RunLog> | undefined;
  const theRunLog = (): Promise<RunLog> => {
    runLog ??= openRunLog(link, replicas).catch((error) => {
      runLog = undefined;
      throw error;
    });
    return runLog;
  };

  return {
    bucket: (bucketName) => {
      const open =
        opened.get(bucketName) ??
        link
          .patiently(() => openBucket(link, bucketName, replicas, telemetry))
          .catch((error) => {
            opened.delete(bucketName);
            throw error;
          });
      opened.set(bucketName, open);
      return open;
    },
    journal: (journalName) => {
      const open =
        journals.get(journalName) ??
        link
          .patiently(() => openJournal(link, journalName, replicas))
          .catch((error) => {
            journals.delete(journalName);
            throw error;
          });
      journals.set(journalName, open);
      return open;
    },
    publish: (subject, message) => publishEvent(link, subject, message, telemetry),
    subscribe: (subject, signal) => subscribeEvents(link, subject, signal),
    appendRunLog: async (runId, text) => (await theRunLog()).append(runId, text),
    readRunLog: async function* (runId, after, follow, signal) {
      yield* (await theRunLog()).read(runId, after, follow, signal);
    },
    ready: () => link.isUp(),
    onStatus: (listener) => link.onStatus(listener),
    close: () => link.close(),
  };
};

const connectionTls = ({ ca, cert, key }: TlsMaterial | TlsFiles) =>
  typeof ca === 'string' && typeof cert === 'string' && typeof key === 'string'
    ? { caFile: ca, certFile: cert, keyFile: key }
    : { ca: String(ca), cert: String(cert), key: String(key) };
