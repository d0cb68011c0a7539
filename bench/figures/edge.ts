import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { createCrl, createRoot, issueCertificate } from '@aegis/service-kit';
import { cpuBetween, cpuSecondsOf } from '../measure/processes.ts';
import { withScratch } from '../measure/scratch.ts';
import { SeparateAegis } from '../peers/aegis-separate.ts';
import { type Benchmark, fixed, type Reading } from './contract.ts';

// What the gateway's door costs and how fast it shuts, with certificates required of everybody.

const HANDSHAKE_SECONDS = 10;
const AT_ONCE = 8;
/** Revoked one after the other. */
const REVOCATIONS = 8;
const GIVE_UP_MS = 20_000;

interface Door {
  readonly server: SeparateAegis;
  /** Connects with a certificate of its own, or the one of this name. */
  open(name: string): Promise<TLSSocket>;
  /** Writes the federation's list anew, with this one in it. */
  revoke(name: string): Promise<void>;
}

/** A gateway that asks everybody for a certificate of the federation. */
const withDoor = (work: (door: Door) => Promise<Reading>): Promise<Reading> =>
  withScratch(async (folder) => {
    const now = Date.now();
    const root = await createRoot('bench', 30, now);
    const gateway = await issueCertificate(
      root,
      { kind: 'service', name: 'gateway', hosts: ['localhost', '127.0.0.1'], days: 1 },
      now,
    );
    const file = async (name: string, content: string) => {
      const path = join(folder, name);
      await writeFile(path, content, { mode: 0o600 });
      return path;
    };
    const revoked: { serial: string; at: number }[] = [];
    const tls = {
      cert: await file('edge.pem', gateway.certPem),
      key: await file('edge.key', gateway.keyPem),
      'client-ca': await file('root.pem', root.certPem),
      'client-crl': await file('crl.pem', await createCrl(root, [], 30, now)),
    };
    const issued = new Map<string, Awaited<ReturnType<typeof issueCertificate>>>();
    const certificate = async (name: string) => {
      const known = issued.get(name) ?? (await issueCertificate(root, { kind: 'node', name, days: 1 }, now));
      issued.set(name, known);
      return known;
    };
    const server = await SeparateAegis.start(join(folder, 'suite'), { tls, 'client-certificates': 'require' });
    try {
      return await work({
        server,
        open: async (name) => {
          const { certPem, keyPem } = await certificate(name);
          return handshake(server.ports.http, { ca: root.certPem, cert: certPem, key: keyPem });
        },
        revoke: async (name) => {
          revoked.push({ serial: (await certificate(name)).serial, at: Date.now() });
          await writeFile(tls['client-crl'], await createCrl(root, revoked, 30, Date.now()));
        },
      });
    } finally {
      await server.stop();
    }
  });

/** Resolves when the server has checked our certificate: its tickets come after that, and what it refuses gets none. */
const handshake = (port: number, material: { ca: string; cert: string; key: string }): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', minVersion: 'TLSv1.3', ...material });
    socket.once('session', () => resolve(socket));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('The server ended the handshake.')));
  });

/** Full handshakes, each with a new connection and no session of an earlier one. */
const handshakes = (): Promise<Reading> =>
  withDoor(async ({ server, open }) => {
    const gateway = server.processes.filter(({ name }) => name === 'gateway');
    const turn = async (until: number, name: string): Promise<number> => {
      let made = 0;
      for (; performance.now() < until; made += 1) (await open(name)).destroy();
      return made;
    };
    const all = async (seconds: number): Promise<number> => {
      const until = performance.now() + seconds * 1_000;
      const turns = Array.from({ length: AT_ONCE }, (_, at) => turn(until, `node-${at}`));
      return (await Promise.all(turns)).reduce((sum, made) => sum + made, 0);
    };
    await all(2);
    const before = cpuSecondsOf(gateway);
    const made = await all(HANDSHAKE_SECONDS);
    const { total } = cpuBetween(before, cpuSecondsOf(gateway));
    const note = `${made} in ${HANDSHAKE_SECONDS} s, TLS 1.3, ECDSA P-256 on both sides, no resumption; ${((1e3 * total) / made).toFixed(2)} ms of the gateway's CPU each`;
    return { value: made / total, note };
  });

/** From the moment the list is on disk until the open connection is ended and a new one is refused. */
const revocation = (): Promise<Reading> =>
  withDoor(async ({ open, revoke }) => {
    const seconds: number[] = [];
    for (let at = 0; at < REVOCATIONS; at += 1) {
      const name = `revoked-${at}`;
      const socket = await open(name);
      const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      socket.on('error', () => {}).resume();
      await revoke(name);
      const begin = performance.now();
      await Promise.all([ended, untilRefused(open, name, begin)]);
      seconds.push((performance.now() - begin) / 1_000);
    }
    const worst = Math.max(...seconds);
    const mean = seconds.reduce((sum, one) => sum + one, 0) / seconds.length;
    return {
      value: worst,
      note: `worst of ${seconds.length}, mean ${mean.toFixed(2)}; one gateway, files looked at every 0.75 s`,
    };
  });

const untilRefused = async (open: Door['open'], name: string, begin: number): Promise<void> => {
  while (performance.now() - begin < GIVE_UP_MS) if (await isTurnedAway(open, name)) return;
  throw new Error(`A revoked certificate was good for ${GIVE_UP_MS / 1_000} s.`);
};

/** 401 with the code of the certificate, or no connection at all. */
const isTurnedAway = async (open: Door['open'], name: string): Promise<boolean> => {
  const socket = await open(name).catch(() => null);
  if (socket === null) return true;
  socket.on('error', () => {});
  const answer = await new Promise<string>((resolve) => {
    socket.once('data', (bytes) => resolve(String(bytes)));
    socket.once('close', () => resolve(''));
    socket.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n');
  });
  socket.destroy();
  return answer === '' || answer.startsWith('HTTP/1.1 401');
};

export const edge: Benchmark = {
  when: 'named',
  figures: [
    {
      id: 'handshakes-per-s',
      unit: 'handshakes per core-second',
      sense: 'rate',
      must: { text: '400', limit: fixed(400) },
      aim: '1,200',
      meaning: 'full mutual TLS handshakes, certificates required, per core-second of the gateway',
      shortfall: "Node's TLS makes a JavaScript object of every connection.",
    },
    {
      id: 'revocation-s',
      unit: 's',
      sense: 'cost',
      must: { text: '2', limit: fixed(2) },
      aim: '1',
      meaning: 'from a new list of revoked certificates on disk until live connections are ended and new ones refused',
      shortfall: 'Files are looked at, not watched.',
    },
  ],
  measure: async ({ sides, log }) => {
    if (!sides.includes('aegis')) return [];
    log('  handshakes');
    const made = await handshakes();
    log('  revocations');
    return [
      { id: 'handshakes-per-s', aegis: made, peer: null },
      { id: 'revocation-s', aegis: await revocation(), peer: null },
    ];
  },
};
