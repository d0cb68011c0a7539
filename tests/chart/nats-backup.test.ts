// What an operator of the chart types for a backup of NATS, and for the way back: the certificates of `aegis kubernetes secrets`, the chart's users.
import { type ChildProcess, execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Bus, connectBus } from '@aegis/bus';
import { eventually, freePort, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startChartNats, stopped } from './chart-nats.ts';
import { render } from './render.ts';

const execute = promisify(execFile);
const bin = join(import.meta.dirname, '../../cli/bin/aegis.ts');

let folder: TemporaryFolder;
let secrets: string;
const servers: ChildProcess[] = [];
const buses: Bus[] = [];

const at = (name: string): string => join(folder.path, name);
const aegis = async (...args: string[]) =>
  JSON.parse((await execute(process.execPath, [bin, ...args, '--json'])).stdout) as Record<string, unknown>;
const refusal = async (...args: string[]): Promise<string> => {
  const failed = await execute(process.execPath, [bin, ...args, '--json']).catch((error: { stderr: string }) => error);
  return String(failed.stderr);
};

/** A server with nothing in it, and the file that leads to it. */
async function emptyServer(name: string): Promise<{ port: number; file: string }> {
  await mkdir(at(name));
  for (const [from, to] of [
    ['ca.pem', 'ca.crt'],
    ['nats.pem', 'tls.crt'],
    ['nats.key', 'tls.key'],
  ] as const)
    await copyFile(join(secrets, from), join(at(name), to));
  const port = await freePort();
  servers.push(await startChartNats(at(name), port));
  const file = join(secrets, `${name}.json`);
  await writeFile(file, (await readFile(join(secrets, 'backup.json'), 'utf8')).replaceAll('4222', String(port)));
  return { port, file };
}

/** The file for the first of the accounts alone. */
const oneWay = (port: number): string =>
  JSON.stringify({
    nats: {
      servers: [`tls://localhost:${port}`],
      tls: { ca: 'ca.pem', cert: 'backup-suite.pem', key: 'backup-suite.key' },
    },
  });

async function busOf(service: string, port: number): Promise<Bus> {
  const [ca, cert, key] = await Promise.all(
    ['ca.pem', `${service}.pem`, `${service}.key`].map((name) => readFile(join(secrets, name))),
  );
  if (!ca || !cert || !key) throw new Error(`no certificate of ${service}`);
  const way = { servers: `tls://localhost:${port}`, name: service, tls: { ca, cert, key }, outageWaitMs: 3_000 };
  const bus = await eventually(() => connectBus(way), 20_000);
  buses.push(bus);
  return bus;
}

beforeAll(async () => {
  folder = await temporaryFolder('chart-backup');
  secrets = at('secrets');
  await aegis('kubernetes', 'secrets', '--dir', secrets);
});
afterAll(async () => {
  for (const bus of buses) await bus.close();
  for (const server of servers) await stopped(server);
  await folder.remove();
});

it('copies all accounts as one, and puts each stream back into its own', async () => {
  const from = await emptyServer('from');
  const lease = await (await (await busOf('aggregator', from.port)).bucket('leases')).put('7', Buffer.from('owner'));
  const round = await (await (await busOf('secagg', from.port)).bucket('secagg-rounds')).put(
    '7.1',
    Buffer.from('sealed'),
  );
  const ledger = await (await busOf('privacy-accountant', from.port)).journal('privacy-ledger');
  await ledger.append(Buffer.from('spent'), 0);

  const key = at('backup.key');
  const taken = await aegis('backup', '--nats', from.file, '--key', key, '-o', at('monday'));
  expect(taken).toMatchObject({ streams: 3, openRuns: ['7'], still: true });
  await writeFile(join(secrets, 'one.json'), oneWay(from.port));
  const partly = ['--nats', join(secrets, 'one.json'), '--key', key];
  expect(await refusal('backup', ...partly, '-o', at('partly'))).toContain('LEDGER_NEEDED');
  expect(await aegis('backup', ...partly, '-o', at('partly'), '--without-ledger')).toMatchObject({ streams: 1 });

  const to = await emptyServer('to');
  // With one of its ways alone the ledger would be put where the accountant does not look, and every budget be whole again.
  await writeFile(join(secrets, 'one.json'), oneWay(to.port));
  const refused = await refusal('restore', at('monday'), '--nats', join(secrets, 'one.json'), '--key', key);
  expect(refused).toMatch(/ACCOUNTS_NEEDED.*SUITE, SECAGG, LEDGER/s);
  const withoutLedger = await refusal('restore', at('partly'), '--nats', to.file, '--key', key);
  expect(withoutLedger).toContain('LEDGER_NEEDED');

  expect(await aegis('restore', at('monday'), '--nats', to.file, '--key', key)).toMatchObject({ openRuns: ['7'] });
  const leases = await (await busOf('aggregator', to.port)).bucket('leases');
  expect(await leases.get('7')).toEqual({ value: Buffer.from('owner'), revision: lease });
  const rounds = await (await busOf('secagg', to.port)).bucket('secagg-rounds');
  expect(await rounds.get('7.1')).toEqual({ value: Buffer.from('sealed'), revision: round });
  const records = (await (await busOf('privacy-accountant', to.port)).journal('privacy-ledger')).read(0);
  expect((await Array.fromAsync(records)).map(({ content }) => String(content))).toEqual(['spent']);
  expect(await refusal('restore', at('monday'), '--nats', to.file, '--key', key)).toContain('STORE_NOT_EMPTY');
});

it('lets nobody else copy, and the copiers write no bucket and make none', async () => {
  const { port } = await emptyServer('other');
  const leases = await (await busOf('aggregator', port)).bucket('leases');
  await leases.put('7', Buffer.from('owner'));
  await leases.put('8', Buffer.from('owner'));
  await leases.delete('8');
  await writeFile(join(secrets, 'one.json'), oneWay(port).replaceAll('backup-suite', 'aggregator'));
  const way = ['--nats', join(secrets, 'one.json'), '--key', at('k'), '--without-ledger'];
  expect(await refusal('backup', ...way, '-o', at('stolen'))).toMatch(/Permissions Violation/i);
  await writeFile(join(secrets, 'one.json'), oneWay(port));
  // deleted ones are not open
  expect(await aegis('backup', ...way, '-o', at('copied'))).toMatchObject({ openRuns: ['7'] });
  const copier = await busOf('backup-suite', port);
  await expect((await copier.bucket('leases')).put('9', Buffer.from('mine'))).rejects.toThrow();
  await expect(copier.bucket('runs')).rejects.toThrow();
});

it('has no such users where the values say so', async () => {
  const rendered = await render({ set: { 'nats.backupUsers': false } });
  expect(rendered.get('ConfigMap', 'aegis-nats').data['nats.conf']).not.toContain('backup');
});
