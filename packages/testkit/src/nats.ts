import { join } from 'node:path';
import {
  type Bus,
  type BusOptions,
  connectBus,
  type NatsServer,
  type NatsServerOptions,
  natsServerBinary,
  startNatsServer,
} from '@aegis/bus';
import { afterAll, beforeAll } from 'vitest';
import { freePort } from './free-port.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A real nats-server on a temporary folder. */
export interface TestNats {
  readonly server: NatsServer;
  readonly storeDir: string;
  /** A new connection, closed with the fixture. */
  connect(options?: Partial<BusOptions>): Promise<Bus>;
  /** kill -9, as an outage: connected clients wait for restart(). */
  kill(): Promise<void>;
  /** The same store, port and credentials again. */
  restart(): Promise<void>;
  /** Closes the connections, ends the server, removes the folder. */
  stop(): Promise<void>;
}

export const startTestNats = async (): Promise<TestNats> => {
  const folder = await temporaryFolder('nats');
  const storeDir = join(folder.path, 'store');
  const options: NatsServerOptions = {
    binary: natsServerBinary(),
    storeDir,
    port: await freePort(),
    logFile: join(folder.path, 'nats.log'),
  };
  let server = await startNatsServer(options);
  const open: Bus[] = [];
  return {
    get server() {
      return server;
    },
    storeDir,
    connect: async (more = {}) => {
      const bus = await connectBus({ servers: server.url, credentials: server.credentials, name: 'test', ...more });
      open.push(bus);
      return bus;
    },
    kill: async () => {
      process.kill(server.pid, 'SIGKILL');
      await server.exited;
    },
    restart: async () => {
      server = await startNatsServer({ ...options, port: server.port, credentials: server.credentials });
    },
    stop: async () => {
      await Promise.all(open.map((bus) => bus.close()));
      await server.stop();
      await folder.remove();
    },
  };
};

/** One server for all tests of the surrounding `describe` (or file); call the result inside tests. */
export const withNats = (): (() => TestNats) => {
  let nats: TestNats | undefined;
  beforeAll(async () => {
    nats = await startTestNats();
  });
  afterAll(() => nats?.stop());
  return () => {
    if (nats === undefined) throw new Error('withNats(): the server runs only while tests do');
    return nats;
  };
};
