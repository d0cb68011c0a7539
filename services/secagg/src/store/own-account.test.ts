// In a cluster the service has an account of its own at NATS: no other service's user can read what survivors opened.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectBus, natsServerBinary } from '@aegis/bus';
import { Secret } from '@aegis/service-kit';
import { freePort, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DurableRoundStore } from './durable.ts';

const password = 'of-the-test';
let folder: TemporaryFolder;
let server: ChildProcess;
let port: number;

beforeAll(async () => {
  folder = await temporaryFolder('accounts');
  port = await freePort();
  const file = join(folder.path, 'nats.conf');
  // As docs/secure-aggregation.md shows it.
  await writeFile(
    file,
    `listen: "127.0.0.1:${port}"
max_payload: 8MB
jetstream { store_dir: ${JSON.stringify(folder.path)} }
accounts {
  SUITE:  { jetstream: enabled, users: [{ user: gateway, password: "${password}" }, { user: aggregator, password: "${password}" }] }
  SECAGG: { jetstream: enabled, users: [{ user: secagg, password: "${password}" }] }
}
`,
  );
  server = spawn(natsServerBinary(), ['--config', file], { stdio: 'ignore' });
});
afterAll(async () => {
  const exited = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  await exited;
  await folder.remove();
});

const busOf = (user: string) =>
  connectBus({
    servers: `nats://127.0.0.1:${port}`,
    name: user,
    credentials: { user, password: new Secret(password) },
  });

it('needs nothing of the other services at NATS, and they see nothing of its own', async () => {
  const [own, others] = [await busOf('secagg'), await busOf('aggregator')];
  const store = await DurableRoundStore.open(own);
  const ref = { runId: '7', round: '1' };
  const opened = {
    ...{ ref, colluders: 0, stageSeconds: 30, modelId: 'ab'.repeat(32), traceparent: '' },
    terms: {
      ...{ run: '7', round: '1', plan: '01'.repeat(32), degree: 2, threshold: 2, minSurvivors: 2, bits: 23 },
      length: '11',
    },
    cohort: [{ taskId: 't', node: '1' }],
  };
  await store.open(opened);
  await store.add(ref, { kind: 'answer', answer: { stage: 'unmask', node: '1', seeds: [], keys: [] } });
  expect(await store.find(ref)).toEqual({ state: 'open', opened });
  for (const name of ['secagg-rounds', 'secagg-facts'] as const) {
    const seen: string[] = [];
    for await (const { key } of (await others.bucket(name)).entries()) seen.push(key);
    expect(seen).toEqual([]);
    const there: string[] = [];
    for await (const { key } of (await own.bucket(name)).entries()) there.push(key);
    expect(there).toHaveLength(1);
  }
  await own.close();
  await others.close();
});
