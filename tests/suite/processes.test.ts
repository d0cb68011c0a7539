// Gateway and aggregator as separate processes with their own files, as a cluster runs them.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ListRunsRequest,
  ListRunsResponse,
  StartRunRequest,
  StartRunResponse,
} from '@aegis/contracts/flwr/proto/control';
import { eventually, freePort, startTestNats, temporaryFolder, testPki } from '@aegis/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { rawHttp, type Target } from '../../services/gateway/src/testing/wire-client.ts';
import { adds, WorkingNode } from './nodes.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const root = join(import.meta.dirname, '../..');

/** Ends with the test, whatever happens. */
const run = (
  service: 'gateway' | 'aggregator',
  config: string,
): { child: ChildProcess; exit: Promise<number | null>; log(): string } => {
  const child = spawn(process.execPath, [join(root, 'services', service, 'src/main.ts'), '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout?.on('data', (piece: Buffer) => (text += piece));
  child.stderr?.on('data', (piece: Buffer) => (text += piece));
  // not 'exit', which may come before the last of what it said
  const exit = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  ends.push(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  return { child, exit, log: () => text };
};

const control = async (target: Target, method: string, body: Uint8Array): Promise<Buffer> =>
  rawHttp(target, undefined, {
    path: `/v1/control/${method}`,
    body,
    headers: { 'content-type': 'application/protobuf', 'flwr-package-version': '1.41.0' },
  });

describe('separate processes', () => {
  it('train a model over mTLS between them, survive kill -9 of both, and end cleanly on SIGTERM', async () => {
    const nats = await startTestNats();
    ends.push(() => nats.stop());
    const pki = await testPki();
    ends.push(() => pki.remove());
    const folder = await temporaryFolder('processes');
    ends.push(() => folder.remove());
    const [gatewayPort, aggregatorPort] = [await freePort(), await freePort()];
    const file = async (name: string, content: unknown): Promise<string> => {
      const path = join(folder.path, name);
      // JSON is YAML.
      await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 });
      return path;
    };
    const bus = {
      servers: [nats.server.url],
      user: nats.server.credentials.user,
      'password-file': await file('password', nats.server.credentials.password.reveal()),
    };
    const tls = (name: string) => pki.issue({ name, hosts: [name, 'localhost', '127.0.0.1'] });
    const aggregatorConfig = await file('aggregator.yaml', {
      aggregator: { 'state-dir': join(folder.path, 'state'), 'lease-seconds': 2 },
      listen: {
        address: `127.0.0.1:${aggregatorPort}`,
        tls: await tls('aggregator'),
        callers: { 'aegis.aggregator.v1.Intake': ['gateway'], 'aegis.aggregator.v1.Runs': ['gateway'] },
      },
      nats: bus,
    });
    const edge = await tls('edge');
    const gatewayConfig = await file('gateway.yaml', {
      gateway: { listen: `127.0.0.1:${gatewayPort}`, tls: { cert: edge.cert, key: edge.key }, enrolment: 'open' },
      nats: bus,
      aggregator: { address: `127.0.0.1:${aggregatorPort}`, 'server-name': 'aggregator', tls: await tls('gateway') },
    });
    const target = { host: '127.0.0.1', port: gatewayPort, ca: (await pki.material('edge')).ca };
    const isUp = async (): Promise<true> => {
      await rawHttp(target, undefined, { path: '/health', method: 'GET' });
      await control(target, 'list-runs', new Uint8Array());
      return true;
    };

    const before = [run('aggregator', aggregatorConfig), run('gateway', gatewayConfig)];
    await eventually(isUp, 30_000).catch((error) => {
      throw new Error(`${error}\n${before.map(({ log }) => log().slice(0, 2_000)).join('\n')}`);
    });
    const nodes = [new WorkingNode(target, 'A', adds(1, 10)), new WorkingNode(target, 'B', adds(3, 10))];
    for (const node of nodes) {
      await node.start();
      ends.push(() => node.kill());
    }
    const initial = writeNpz([{ name: 'w', npy: writeNpy(f4([2], [0, 1])) }]);
    const config =
      'aegis.initial-model = "file:init.npz"\nnum-server-rounds = 8\nmin-available-nodes = 2\nfraction-evaluate = 0.0';
    const bundle = fab({ config, extra: [{ name: 'init.npz', content: initial }] });
    const start = StartRunRequest.encode({
      ...StartRunRequest.decode(new Uint8Array()),
      fab: { hashStr: '', content: bundle, verifications: {} },
    }).finish();
    const { runId = 0n } = StartRunResponse.decode(await control(target, 'start-run', start));
    await eventually(() => nodes.every(({ outcomes }) => outcomes.length >= 2));

    for (const { child, exit } of before) {
      child.kill('SIGKILL');
      await exit;
    }
    const after = [run('aggregator', aggregatorConfig), run('gateway', gatewayConfig)];
    const query = ListRunsRequest.encode({ ...ListRunsRequest.decode(new Uint8Array()), runId }).finish();
    const finished = await eventually(async () => {
      const { runDict } = ListRunsResponse.decode(await control(target, 'list-runs', query));
      const { status } = runDict.get(runId) ?? {};
      return status?.status === 'finished' && status;
    }, 60_000).catch((error) => {
      throw new Error(`${error}\n${after.map(({ log }) => log().slice(0, 2_000)).join('\n')}`);
    });
    expect(finished).toMatchObject({ subStatus: 'completed' });

    for (const node of nodes) await node.leave();
    for (const { child, exit, log } of after.reverse()) {
      child.kill('SIGTERM');
      expect(await exit, log()).toBe(0);
    }
  }, 120_000);

  it.each(['gateway', 'aggregator'] as const)(
    '%s with a wrong configuration says which key, and exits with 2',
    async (service) => {
      const folder = await temporaryFolder('processes');
      ends.push(() => folder.remove());
      const path = join(folder.path, 'bad.yaml');
      await writeFile(path, `${service}: 7\n`);
      const { exit, log } = run(service, path);
      expect(await exit).toBe(2);
      expect(log()).toContain(`${service}: Invalid input`);
    },
  );
});
