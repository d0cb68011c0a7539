import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { AegisError } from '@aegis/errors';
import { Secret, type TlsFiles, writeFileAtomic } from '@aegis/service-kit';
import { maxPayloadBytes } from './buckets.ts';
import type { BusCredentials } from './connect.ts';
import { endStaleServer } from './stale-server.ts';

export interface NatsServerOptions {
  /** Path of the nats-server executable. */
  binary: string;
  /** Everything it keeps; also its configuration. Mode 0700. */
  storeDir: string;
  /** 0 = any free one. */
  port: number;
  /** At-rest encryption key; 0600, created when missing. Default: `at-rest.key` in the store, which protects backups of `jetstream/` only. */
  keyFile?: string | undefined;
  logFile: string;
  /** Its certificate, and the authority whose clients it lets in, beside their password. Default: plain text. */
  tls?: TlsFiles | undefined;
  /** Default: new random ones. Pass the old ones, and the old port, to restart under connected clients. */
  credentials?: BusCredentials | undefined;
}

export interface NatsServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface NatsServer {
  /** nats://127.0.0.1:port */
  readonly url: string;
  readonly port: number;
  readonly credentials: BusCredentials;
  readonly pid: number;
  /** Ends it and waits until it is gone. */
  stop(): Promise<void>;
  /** Resolves when the process has ended, however; whether to start it again is the caller's decision. */
  readonly exited: Promise<NatsServerExit>;
}

const startWithinMs = 120_000; // recovery of a large store takes its time
const stopWithinMs = 10_000;

/**
 * Starts a private nats-server on loopback: JetStream encrypted at rest, every write synced, one random user. Password and key are in a 0600
 * file, never on the command line. When this process dies, however hard, the server goes with it.
 */
export const startNatsServer = async (options: NatsServerOptions): Promise<NatsServer> => {
  const storeDir = resolve(options.storeDir);
  const logFile = resolve(options.logFile);
  await mkdir(storeDir, { recursive: true, mode: 0o700 });
  await mkdir(dirname(logFile), { recursive: true });
  const key = await atRestKey(storeDir, options.keyFile ?? join(storeDir, 'at-rest.key'));
  const credentials = options.credentials ?? {
    user: 'aegis',
    password: new Secret(randomBytes(24).toString('hex')),
  };
  const configFile = join(storeDir, 'nats-server.conf');
  await endStaleServer(join(storeDir, 'nats-server.pid'), configFile);
  await removePortFiles(storeDir);
  await writeFileAtomic(
    configFile,
    configText({ storeDir, logFile, port: options.port, tls: options.tls, key, credentials }),
    0o600,
  );

  const server = launch(options.binary, configFile);
  const stop = () => stopServer(server);
  try {
    const portFile = join(storeDir, `${basename(options.binary)}_${server.child.pid}.ports`);
    const port = await waitForPort(portFile, server, logFile);
    return { url: `nats://127.0.0.1:${port}`, port, credentials, pid: server.pid, stop, exited: server.exited };
  } catch (error) {
    await stop();
    throw error;
  }
};

/** The way to a server that another process started on this store; null when none listens. */
export const runningNatsServer = async (
  storeDir: string,
): Promise<{ url: string; credentials: BusCredentials } | null> => {
  const config = await readText(join(storeDir, 'nats-server.conf'));
  const [, user, password] = /user: ("[^"]*")\s+password: ("[^"]*")/.exec(config ?? '') ?? [];
  const ports = (await readdir(storeDir).catch(() => [])).find((file) => file.endsWith('.ports'));
  const port = ports === undefined ? undefined : await readPort(join(storeDir, ports));
  if (user === undefined || password === undefined || port === undefined) return null;
  const credentials = { user: JSON.parse(user) as string, password: new Secret(JSON.parse(password) as string) };
  return { url: `nats://127.0.0.1:${port}`, credentials };
};

interface Launched {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<NatsServerExit>;
  /** What it said before its log file was open. */
  readonly firstWords: () => string;
}

// The shell leaves a watcher behind and becomes nats-server itself (exec keeps the pid). The watcher reads a pipe whose other end only we
// hold: a line means "it ended, stand down"; end-of-file means we are gone, and it ends the server. Nothing needs to run in us for that, so
// it works after kill -9 too. `detached` keeps the terminal's Ctrl-C from reaching the server before we have drained.
const launcher = `
(
  read -r _ <&3 && exit
  kill -TERM $$
  for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 1; kill -0 $$ || exit; done
  kill -KILL $$
) >/dev/null 2>&1 &
exec 3<&-
exec "$0" --config "$1"`;

const launch = (binary: string, configFile: string): Launched => {
  const child = spawn('/bin/sh', ['-c', launcher, binary, configFile], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    detached: true,
    env: { PATH: process.env.PATH },
  });
  const lifeline = child.stdio[3] as Writable;
  lifeline.on('error', () => {}); // the watcher may be gone already
  let words = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = `${words}${text}`.slice(-4000);
  });
  const exited = new Promise<NatsServerExit>((ended) => {
    child.once('exit', (code, signal) => {
      lifeline.end('ended\n');
      ended({ code, signal });
    });
    child.once('error', (error) => {
      words += error.message;
      lifeline.end('ended\n');
      ended({ code: null, signal: null });
    });
  });
  return { child, pid: child.pid ?? 0, exited, firstWords: () => words };
};

const stopServer = async ({ child, exited }: Launched): Promise<void> => {
  child.kill('SIGTERM');
  const force = setTimeout(() => child.kill('SIGKILL'), stopWithinMs);
  await exited;
  clearTimeout(force);
};

const waitForPort = async (portFile: string, server: Launched, logFile: string): Promise<number> => {
  let ended = false;
  void server.exited.then(() => {
    ended = true;
  });
  for (const until = Date.now() + startWithinMs; Date.now() < until; await sleep(20)) {
    if (ended)
      throw new AegisError('STORE_UNAVAILABLE', `nats-server did not start: ${await lastWords(server, logFile)}`);
    const port = await readPort(portFile);
    if (port !== undefined) return port;
  }
  throw new AegisError(
    'STORE_UNAVAILABLE',
    `nats-server was not ready after ${startWithinMs / 1000} s; see ${logFile}.`,
  );
};

// Written by the server once it listens, which is after JetStream has recovered. A half-written file parses next time.
const readPort = async (file: string): Promise<number | undefined> => {
  try {
    const { nats } = JSON.parse(await readFile(file, 'utf8')) as { nats?: string[] };
    return nats?.[0] === undefined ? undefined : Number(new URL(nats[0]).port);
  } catch {
    return undefined;
  }
};

const lastWords = async (server: Launched, logFile: string): Promise<string> => {
  const log = await readFile(logFile, 'utf8').catch(() => '');
  const fatal = log.split('\n').filter((line) => line.includes(`[${server.pid}]`) && /\[(FTL|ERR)\]/.test(line));
  const [last = server.firstWords().trim()] = fatal.slice(-1);
  return last.replace(/^\[\d+\] \S+ \S+ /, '') || `it ended without a word; see ${logFile}.`;
};

const removePortFiles = async (folder: string): Promise<void> => {
  for (const file of await readdir(folder)) if (file.endsWith('.ports')) await rm(join(folder, file), { force: true });
};

// With the wrong key JetStream starts all the same, only without its streams. So the store remembers its key's fingerprint.
const atRestKey = async (storeDir: string, keyFile: string): Promise<Secret> => {
  const existing = await readText(keyFile);
  const fingerprintFile = join(storeDir, 'at-rest.key.sha256');
  const recorded = await readText(fingerprintFile);
  if (existing === undefined && recorded !== undefined) {
    throw new AegisError('CONFIG_INVALID', `${keyFile} is missing, and ${storeDir} was written with it.`);
  }
  const key = existing ?? randomBytes(32).toString('hex');
  if (key.length < 32) throw new AegisError('CONFIG_INVALID', `${keyFile} holds no key of at least 32 characters.`);
  const fingerprint = createHash('sha256').update(`aegis at-rest key\n${key}`).digest('hex');
  if (recorded !== undefined && recorded !== fingerprint) {
    throw new AegisError('CONFIG_INVALID', `${keyFile} is not the key that ${storeDir} was written with.`);
  }
  if (existing === undefined) await writeFileAtomic(keyFile, `${key}\n`, 0o600);
  if (recorded === undefined) await writeFileAtomic(fingerprintFile, `${fingerprint}\n`, 0o600);
  return new Secret(key);
};

const readText = async (file: string): Promise<string | undefined> => {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new AegisError('CONFIG_INVALID', `${file} cannot be read.`, error);
  }
};

const configText = (config: {
  storeDir: string;
  logFile: string;
  port: number;
  tls: TlsFiles | undefined;
  key: Secret;
  credentials: BusCredentials;
}): string => `# Written at every start.
listen: "127.0.0.1:${config.port === 0 ? -1 : config.port}"
server_name: "aegis"
max_payload: ${maxPayloadBytes}
pid_file: ${JSON.stringify(join(config.storeDir, 'nats-server.pid'))}
ports_file_dir: ${JSON.stringify(config.storeDir)}
log_file: ${JSON.stringify(config.logFile)}
logfile_size_limit: 10MB
logfile_max_num: 3
authorization {
  user: ${JSON.stringify(config.credentials.user)}
  password: ${JSON.stringify(config.credentials.password.reveal())}
}
jetstream {
  store_dir: ${JSON.stringify(config.storeDir)}
  key: ${JSON.stringify(config.key.reveal())}
  cipher: aes
  sync_interval: always
}
${config.tls === undefined ? '' : tlsText(config.tls)}`;

const tlsText = ({ ca, cert, key }: TlsFiles): string => `tls {
  cert_file: ${JSON.stringify(resolve(cert))}
  key_file: ${JSON.stringify(resolve(key))}
  ca_file: ${JSON.stringify(resolve(ca))}
  verify: true
  min_version: "1.3"
}
`;
