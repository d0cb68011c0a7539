// What an operator of the chart types for a backup of NATS, and for the way back: the certificates of `aegis kubernetes secrets`, the chart's users.
import { type ChildProcess, execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Bus, connectBus } from '@aegis/bus';
import { eventually, freePort, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startChartNats, stopped } from './chart-nats.ts';

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
  const file = at(`${name}.json`);
  await writeFile(file, (await readFile(join(secrets, 'backup.json'), 'utf8')).replaceAll('4222', String(port)));
  return { port, file };
}

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

  const to = await emptyServer('to');
  // With one of its ways alone the ledger would be put where the accountant does not look, and every budget be whole again.
  const ways = JSON.parse(await readFile(to.file, 'utf8')) as { nats: object[] };
  await writeFile(at('one.json'), JSON.stringify({ nats: ways.nats[0] }));
  const refused = await refusal('restore', at('monday'), '--nats', at('one.json'), '--key', key);
  expect(refused).toMatch(/ACCOUNTS_NEEDED.*LEDGER, SECAGG, SUITE/s);

  expect(await aegis('restore', at('monday'), '--nats', to.file, '--key', key)).toMatchObject({ openRuns: ['7'] });
  const leases = await (await busOf('aggregator', to.port)).bucket('leases');
  expect(await leases.get('7')).toEqual({ value: Buffer.from('owner'), revision: lease });
  const rounds = await (await busOf('secagg', to.port)).bucket('secagg-rounds');
  expect(await rounds.get('7.1')).toEqual({ value: Buffer.from('sealed'), revision: round });
  const records = (await (await busOf('privacy-accountant', to.port)).journal('privacy-ledger')).read(0);
  expect((await Array.fromAsync(records)).map(({ content }) => String(content))).toEqual(['spent']);
  expect(await refusal('restore', at('monday'), '--nats', to.file, '--key', key)).toContain('STORE_NOT_EMPTY');
});

it('lets nobody else copy, and the copiers write nothing that is there', async () => {
  const { port, file } = await emptyServer('other');
  await (await (await busOf('aggregator', port)).bucket('leases')).put('7', Buffer.from('owner'));
  const [suite] = (JSON.parse(await readFile(file, 'utf8')) as { nats: { tls: Record<string, string> }[] }).nats;
  const asAggregator = {
    ...suite,
    tls: { ...suite?.tls, cert: join(secrets, 'aggregator.pem'), key: join(secrets, 'aggregator.key') },
  };
  await writeFile(at('aggregator.json'), JSON.stringify({ nats: asAggregator }));
  const refused = await refusal('backup', '--nats', at('aggregator.json'), '--key', at('k'), '-o', at('stolen'));
  expect(refused).toMatch(/Permissions Violation/i);
  const copier = await busOf('backup-suite', port);
  await expect((await copier.bucket('leases')).put('7', Buffer.from('mine'))).rejects.toThrow();
});
