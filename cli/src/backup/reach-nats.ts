import { dirname, resolve } from 'node:path';
import { type BusOptions, natsConfig, runningNatsServer, startNatsServer } from '@aegis/bus';
import { loadConfig, readTls } from '@aegis/service-kit';
import { z } from 'zod';
import { prepareStateDirectory, type StateDirectory } from '../state-directory.ts';
import { lockHolder, lockState } from '../state-lock.ts';
import { findNatsServer } from '../suite/nats-child.ts';

/** A cluster that has just started takes a while to answer about its streams. */
const OUTAGE_MS = 30_000;

export interface ReachedNats {
  /** One for each account. */
  readonly ways: readonly [BusOptions, ...BusOptions[]];
  /** Copies of each stream; undefined: nobody says. */
  readonly replicas: number | undefined;
  close(): Promise<void>;
}

/** Of a suite of a state directory: the server that runs, or, with `idle`, one that is started for the while. */
export async function natsOfState(state: StateDirectory, env: NodeJS.ProcessEnv): Promise<ReachedNats> {
  const running = (await lockHolder(state.lock)) === undefined ? null : await runningNatsServer(state.nats);
  if (running !== null)
    return { ways: [{ ...running, servers: running.url, name: 'aegis backup' }], replicas: 1, close: async () => {} };
  const binary = await findNatsServer(env);
  await prepareStateDirectory(state);
  const unlock = await lockState(state.lock, state.root);
  try {
    const files = { storeDir: state.nats, keyFile: state.natsKey, logFile: state.natsLog };
    const server = await startNatsServer({ binary, ...files, port: 0 });
    const way = { servers: server.url, credentials: server.credentials, name: 'aegis backup' };
    const close = async (): Promise<void> => {
      await server.stop();
      await unlock();
    };
    return { ways: [way], replicas: 1, close };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Of a cluster: what `nats:` says in the file of any service, or a list of such, one for each account. Certificates are named from the file's folder. */
export function natsOfFile(file: string): ReachedNats {
  const several = z.tuple([natsConfig], natsConfig);
  const { nats } = loadConfig(
    file,
    z.looseObject({ nats: z.union([several, natsConfig.transform((one): z.infer<typeof several> => [one])]) }),
  );
  const [first, ...others] = nats;
  const wayOf = (nats: z.infer<typeof natsConfig>): BusOptions => wayFrom(dirname(resolve(file)), nats);
  return { ways: [wayOf(first), ...others.map(wayOf)], replicas: first.replicas, close: async () => {} };
}

function wayFrom(folder: string, nats: z.infer<typeof natsConfig>): BusOptions {
  const { servers, user, 'password-file': password, tls, replicas } = nats;
  const credentials = user !== undefined && password !== undefined ? { user, password } : undefined;
  const from = (path: string): string => resolve(folder, path);
  const read = tls && readTls({ ca: from(tls.ca), cert: from(tls.cert), key: from(tls.key) });
  return {
    servers,
    credentials,
    tls: read,
    name: 'aegis backup',
    outageWaitMs: OUTAGE_MS,
    ...(replicas && { replicas }),
  };
}
