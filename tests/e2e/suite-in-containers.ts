// NATS, aggregator and gateway as three containers of the locally built images, mutual TLS between the services.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCa, issueLeaf } from '@aegis/service-kit';
import { GenericContainer, Network, type StartedNetwork, type StartedTestContainer, Wait } from 'testcontainers';

// The reaper is an image of its own, and no registry is asked here; every container is stopped by name instead.
process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';

const PASSWORD = 'e2e-nats-password';
const TOKEN = 'e2e-operator-token-0123456789';
const GATEWAY_PORT = 8443;

export type ServiceName = 'gateway' | 'aggregator' | 'nats';

export interface Suite {
  /** 127.0.0.1:port of the gateway, the same after a restart. */
  readonly address: string;
  readonly folder: string;
  readonly ca: string;
  readonly tokenFile: string;
  /** SIGKILL: nothing gets a chance to tidy up. */
  kill(service: ServiceName): void;
  start(service: ServiceName): void;
  logs(): string;
  stop(): Promise<void>;
}

export async function startSuite(): Promise<Suite> {
  const folder = mkdtempSync(join(tmpdir(), 'aegis-e2e-'));
  const etc = join(folder, 'etc');
  for (const name of ['etc', 'nats', 'aggregator']) mkdirSync(join(folder, name));
  await writeCertificates(etc);
  writeConfigurations(etc);

  const network = await new Network().start();
  const port = await freePort();
  const containers = new Map<string, StartedTestContainer>();
  const stop = async (): Promise<void> => {
    for (const container of [...containers.values()].reverse()) await container.stop({ timeout: 10_000 });
    await network.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    containers.set('nats', await natsContainer(network, folder).start());
    containers.set('aggregator', await serviceContainer('aggregator', network, folder).start());
    containers.set(
      'gateway',
      await serviceContainer('gateway', network, folder)
        .withExposedPorts({ container: GATEWAY_PORT, host: port })
        .start(),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    address: `127.0.0.1:${port}`,
    folder,
    ca: join(etc, 'ca.pem'),
    tokenFile: join(etc, 'operator.token'),
    kill: (service) => engine('kill', containers.get(service)),
    start: (service) => engine('start', containers.get(service)),
    logs: () => [...containers].map(([name, one]) => `== ${name}\n${engine('logs', one)}`).join('\n'),
    stop,
  };
}

const natsContainer = (network: StartedNetwork, folder: string): GenericContainer =>
  new GenericContainer('aegis-nats:local')
    .withNetwork(network)
    .withNetworkAliases('nats')
    .withUser(me())
    .withBindMounts([
      { source: join(folder, 'etc'), target: '/etc/aegis', mode: 'ro' },
      { source: join(folder, 'nats'), target: '/data' },
    ])
    .withCommand(['--config', '/etc/aegis/nats.conf'])
    .withWaitStrategy(Wait.forLogMessage('Server is ready'));

const serviceContainer = (
  service: 'gateway' | 'aggregator',
  network: StartedNetwork,
  folder: string,
): GenericContainer =>
  new GenericContainer('aegis-service:local')
    .withNetwork(network)
    .withNetworkAliases(service)
    .withUser(me())
    .withBindMounts([
      { source: join(folder, 'etc'), target: '/etc/aegis', mode: 'ro' },
      { source: join(folder, 'aggregator'), target: '/var/lib/aegis/aggregator' },
    ])
    .withCommand([`services/${service}/src/main.ts`, '--config', `/etc/aegis/${service}.yaml`])
    .withWaitStrategy(Wait.forLogMessage(/serving gRPC|gateway is up/));

/** Files that only their owner may read must belong to the container's user. */
const me = (): string => `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;

async function writeCertificates(etc: string): Promise<void> {
  const now = Date.now();
  const ca = await createCa('e2e', now);
  writeFileSync(join(etc, 'ca.pem'), ca.certPem);
  for (const name of ['gateway', 'aggregator']) {
    const leaf = await issueLeaf(ca, { name, hosts: [name, 'localhost', '127.0.0.1'] }, now);
    writeFileSync(join(etc, `${name}.pem`), leaf.certPem);
    writeFileSync(join(etc, `${name}.key`), leaf.keyPem, { mode: 0o600 });
  }
}

function writeConfigurations(etc: string): void {
  const secret = (name: string, text: string): void => {
    writeFileSync(join(etc, name), text, { mode: 0o600 });
    chmodSync(join(etc, name), 0o600);
  };
  secret('nats.password', PASSWORD);
  secret('operator.token', TOKEN);
  secret(
    'nats.conf',
    `port: 4222
server_name: e2e
max_payload: 8388608
authorization { user: aegis, password: "${PASSWORD}" }
jetstream { store_dir: /data, sync_interval: always }
`,
  );
  const nats = `nats:
  servers: [nats://nats:4222]
  user: aegis
  password-file: /etc/aegis/nats.password
`;
  const tls = (name: string, indent: string): string =>
    ['tls:', '  ca: /etc/aegis/ca.pem', `  cert: /etc/aegis/${name}.pem`, `  key: /etc/aegis/${name}.key`]
      .map((line) => `${indent}${line}\n`)
      .join('');
  writeFileSync(
    join(etc, 'aggregator.yaml'),
    `aggregator:
  state-dir: /var/lib/aegis/aggregator
  lease-seconds: 5
listen:
  address: 0.0.0.0:7443
${tls('aggregator', '  ')}  callers:
    aegis.aggregator.v1.Intake: [gateway]
    aegis.aggregator.v1.Runs: [gateway]
${nats}`,
  );
  writeFileSync(
    join(etc, 'gateway.yaml'),
    `gateway:
  listen: 0.0.0.0:${GATEWAY_PORT}
  tls:
    cert: /etc/aegis/gateway.pem
    key: /etc/aegis/gateway.key
  enrolment: open
  control: open
  operator-token-file: /etc/aegis/operator.token
${nats}aggregator:
  address: aggregator:7443
${tls('gateway', '  ')}`,
  );
}

const engine = (verb: 'kill' | 'start' | 'logs', container: StartedTestContainer | undefined): string =>
  execFileSync('docker', [verb, container?.getId() ?? ''], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
