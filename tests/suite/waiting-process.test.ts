// A process that is started before NATS waits for it, and says so to whoever supervises it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, freePort, startTestNats, temporaryFolder } from '@aegis/testkit';
import { afterEach, expect, it } from 'vitest';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const main = join(import.meta.dirname, '../../services/secagg/src/main.ts');

const started = async () => {
  const nats = await startTestNats();
  ends.push(() => nats.stop());
  await nats.kill();
  const folder = await temporaryFolder('waiting');
  ends.push(() => folder.remove());
  const password = join(folder.path, 'password');
  await writeFile(password, nats.server.credentials.password.reveal(), { mode: 0o600 });
  const [port, metrics] = [await freePort(), await freePort()];
  const config = join(folder.path, 'secagg.yaml');
  const content = {
    secagg: {},
    listen: { address: `127.0.0.1:${port}`, insecure: true },
    nats: { servers: [nats.server.url], user: nats.server.credentials.user, 'password-file': password },
    metrics: { address: `127.0.0.1:${metrics}` },
  };
  await writeFile(config, JSON.stringify(content));
  const child = spawn(process.execPath, [main, '--config', config], { stdio: 'ignore' });
  const exit = once(child, 'exit').then(([code]) => code as number);
  ends.push(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${metrics}${path}`);
    return `${answer.status} ${(await answer.text()).trim()}`;
  };
  const answers = (path: string, text: string) =>
    eventually(async () => {
      const got = await ask(path).catch((error: unknown) => String(error));
      if (got !== text) throw new Error(`${path}: ${got}`);
      return true;
    }, 30_000);
  const text = async (path: string) => (await fetch(`http://127.0.0.1:${metrics}${path}`)).text();
  return { nats, child, exit, answers, text };
};

it('is alive and not ready until NATS is there, and stays ready when NATS goes away', async () => {
  const { nats, answers, text } = await started();
  await answers('/livez', '200 alive');
  await answers('/readyz', '503 starting');
  await nats.restart();
  await answers('/readyz', '200 ready');
  await nats.kill();
  await eventually(async () => expect(await text('/metrics')).toMatch(/^aegis_nats_connected(\{.*\})? 0$/m));
  await answers('/livez', '200 alive');
  await answers('/readyz', '200 ready');
  await nats.restart();
  await answers('/readyz', '200 ready');
});

it('ends on SIGTERM while it waits', async () => {
  const { child, exit, answers } = await started();
  await answers('/readyz', '503 starting');
  child.kill('SIGTERM');
  expect(await exit).toBe(143);
});
