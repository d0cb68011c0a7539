// nats.conf as the chart writes it, in a real server: every service can do what it does, shown by its certificate alone, and nothing of the others'.
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BucketName, type Bus, buckets, connectBus, type SubjectName, subjects } from '@aegis/bus';
import { createCa, type IssuedCertificate, issueLeaf } from '@aegis/service-kit';
import { eventually, freePort, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startChartNats, stopped } from './chart-nats.ts';

const owns: Record<string, { writes: BucketName[]; reads: BucketName[] }> = {
  gateway: {
    writes: ['nodes', 'node-keys', 'node-subjects', 'invitations', 'consents', 'app-signatures', 'uploads'],
    reads: ['tasks', 'leases'],
  },
  aggregator: { writes: ['tasks', 'runs', 'rounds', 'apps', 'plans', 'models', 'leases'], reads: ['consents'] },
  secagg: { writes: ['secagg-rounds', 'secagg-facts'], reads: [] },
  'privacy-accountant': { writes: ['accountants'], reads: [] },
};

let folder: TemporaryFolder;
let server: ChildProcess;
let port: number;
let ca: IssuedCertificate;
const buses = new Map<string, Bus>();

const busOf = async (name: string, hosts: string[]): Promise<Bus> => {
  const leaf = await issueLeaf(ca, { name, hosts }, Date.now());
  const tls = { ca: Buffer.from(ca.certPem), cert: Buffer.from(leaf.certPem), key: Buffer.from(leaf.keyPem) };
  return connectBus({ servers: `tls://localhost:${port}`, name, tls, outageWaitMs: 3_000 });
};
const bus = (name: string): Bus => buses.get(name) as Bus;

beforeAll(async () => {
  folder = await temporaryFolder('chart-nats');
  port = await freePort();
  ca = await createCa('chart', Date.now());
  const leaf = await issueLeaf(ca, { name: 'nats', hosts: ['nats', 'localhost'] }, Date.now());
  const files = { 'ca.crt': ca.certPem, 'tls.crt': leaf.certPem, 'tls.key': leaf.keyPem };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder.path, name), text, { mode: 0o600 });
  server = await startChartNats(folder.path, port);
  for (const name of Object.keys(owns)) {
    // As `aegis kubernetes secrets` names them.
    const open = () => busOf(name, [name, `aegis-${name}.learning.svc`]);
    buses.set(name, await eventually(open, 20_000));
  }
});
afterAll(async () => {
  for (const one of buses.values()) await one.close();
  await stopped(server);
  await folder.remove();
});

it('covers every bucket there is', () => {
  const named = Object.values(owns).flatMap(({ writes }) => writes);
  expect(named.sort()).toEqual(Object.keys(buckets).sort());
});

it('every service writes, reads, lists, watches and deletes in its own buckets', async () => {
  for (const [service, { writes }] of Object.entries(owns)) {
    for (const name of writes) {
      const bucket = await bus(service).bucket(name);
      const first = await bucket.create('a.b', Buffer.from('1'));
      await bucket.update('a.b', Buffer.from('2'), first);
      expect((await bucket.get('a.b'))?.value.toString(), name).toBe('2');
      const listed = await Array.fromAsync(bucket.entries());
      expect(listed.map(({ key }) => key)).toEqual(['a.b']);
      await bucket.put('c', Buffer.from('3'));
      await bucket.delete('c');
    }
  }
});

it('reads what it has to of others', async () => {
  for (const [service, { reads }] of Object.entries(owns)) {
    for (const name of reads) {
      const stop = new AbortController();
      for await (const item of (await bus(service).bucket(name)).watch(undefined, stop.signal)) {
        expect(item).toMatchObject({ type: 'entry', key: 'a.b' });
        break;
      }
      stop.abort();
    }
  }
});

it('writes nothing of others', async () => {
  const written = ['tasks', 'leases'] as const;
  await Promise.all(
    written.map(async (name) => {
      const bucket = await bus('gateway').bucket(name);
      await expect(bucket.put('x', Buffer.from('1')), name).rejects.toThrow();
    }),
  );
  const opened: [string, BucketName][] = [
    ['gateway', 'runs'],
    ['gateway', 'models'],
    ['aggregator', 'nodes'],
    ['aggregator', 'invitations'],
  ];
  await Promise.all(
    opened.map(([service, name]) => expect(bus(service).bucket(name), `${service} ${name}`).rejects.toThrow()),
  );
});

it('opens the same names in its own account, and sees nothing of what others keep there', async () => {
  for (const [service, name] of [
    ['secagg', 'runs'],
    ['privacy-accountant', 'nodes'],
  ] as [string, BucketName][]) {
    const found = await Array.fromAsync((await bus(service).bucket(name)).entries());
    expect(found).toEqual([]);
  }
});

it('keeps histories apart: the audit log is the gateways’, the ledger the accountant’s', async () => {
  const record = Buffer.from('page');
  await (await bus('gateway').journal('audit')).append(record, 0);
  await (await bus('privacy-accountant').journal('privacy-ledger')).append(record, 0);
  const foreign = (['audit', 'privacy-ledger'] as const).map((name) => bus('aggregator').journal(name));
  for (const one of await Promise.allSettled(foreign)) expect(one.status).toBe('rejected');
  expect(await (await bus('secagg').journal('privacy-ledger')).newest()).toBe(null);
});

/** Who tells whom. */
const events: Record<SubjectName, [string, string][]> = {
  presence: [
    ['gateway', 'gateway'],
    ['gateway', 'aggregator'],
  ],
  'presence-ask': [
    ['gateway', 'gateway'],
    ['aggregator', 'gateway'],
  ],
  'task-confirmed': [['gateway', 'aggregator']],
  'run-changed': [['aggregator', 'aggregator']],
  'allowances-spent': [['gateway', 'gateway']],
};

it('carries every event from those who tell to those who listen', async () => {
  expect(Object.keys(events).sort()).toEqual(Object.keys(subjects).sort());
  for (const [name, pairs] of Object.entries(events) as [SubjectName, [string, string][]][]) {
    for (const [from, to] of pairs) {
      const stop = new AbortController();
      const heard = (await bus(to).subscribe(name, stop.signal))[Symbol.asyncIterator]();
      // biome-ignore lint/suspicious/noExplicitAny: every schema takes an empty message
      bus(from).publish(name, (subjects[name].codec as any).decode(new Uint8Array()));
      const arrived = await Promise.race([heard.next(), new Promise((resolve) => setTimeout(resolve, 5_000))]);
      expect(arrived, `${name} from ${from} to ${to}`).toMatchObject({ done: false });
      stop.abort();
    }
  }
  await bus('aggregator').appendRunLog(7n, 'a line');
});

it('lets in nobody whose certificate names no user', async () => {
  await expect(busOf('stranger', ['stranger'])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
});
