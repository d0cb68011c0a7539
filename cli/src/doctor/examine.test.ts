import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openSshPrivateKey } from '../keys/openssh-private-key.ts';
import { examine } from './examine.ts';
import { type Authority, createAuthority, startFaultyServer } from './faulty-server.test-support.ts';
import type { Patient, Step } from './step.ts';

let ours: Authority;
let other: Authority;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  ours = await createAuthority('Aegis development CA');
  other = await createAuthority('Somebody else');
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const unknownKey = JSON.stringify({ detail: "NODE_KEY_UNKNOWN: The node's key is not known here, or was removed." });
const healthy: RequestListener = (request, response) =>
  request.method === 'POST' ? response.writeHead(401).end(unknownKey) : response.end('ok');

async function patientAt(
  tls: TlsOptions,
  answer: RequestListener = healthy,
  grpcStatus: 'serving' | 'not-serving' | 'absent' = 'serving',
): Promise<Patient> {
  const server = await startFaultyServer(tls, answer, grpcStatus);
  closing.push(() => server.close());
  return { host: '127.0.0.1', port: server.port, ca: ours.pem, insecure: false, now: Date.now, timeoutMs: 3000 };
}

const failed = (steps: Step[]): Step => {
  const found = steps.filter((step) => step.state === 'failed');
  expect(found).toHaveLength(1);
  const [step] = found as [Step];
  expect(step.todo).not.toBe('');
  const after = steps.slice(steps.indexOf(step) + 1);
  expect(after.every(({ state }) => state === 'skipped')).toBe(true);
  const before = steps.slice(0, steps.indexOf(step)).filter(({ name }) => name !== 'own certificate');
  expect(before.every(({ state }) => state === 'ok')).toBe(true);
  return step;
};

describe('aegis doctor', () => {
  it('passes every step of a healthy server in order', async () => {
    const steps = await examine(await patientAt(await ours.issue()));
    expect(steps.map(({ name, state }) => `${name}: ${state}`)).toEqual([
      'DNS: ok',
      'TCP: ok',
      'TLS version: ok',
      'certificate chain: ok',
      'certificate name (SAN): ok',
      'ALPN: ok',
      'health over HTTP: ok',
      'health over gRPC: ok',
      'clock: ok',
      'own certificate: skipped',
      'client certificate: ok',
      'node key: skipped',
    ]);
  });

  it('reaches a healthy server by name', async () => {
    const patient = { ...(await patientAt(await ours.issue())), host: 'localhost' };
    expect((await examine(patient)).filter(({ state }) => state === 'failed')).toEqual([]);
  });

  it('names DNS when the host name does not exist', async () => {
    const patient = { ...(await patientAt(await ours.issue())), host: 'no-such-host.invalid' };
    expect(failed(await examine(patient))).toMatchObject({ name: 'DNS' });
  });

  it('names TCP when the port is closed', async () => {
    const patient = await patientAt(await ours.issue());
    await closing.pop()?.();
    expect(failed(await examine(patient))).toMatchObject({
      name: 'TCP',
      detail: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('names the TLS version when the server speaks only TLS 1.2', async () => {
    const patient = await patientAt({ ...(await ours.issue()), maxVersion: 'TLSv1.2' });
    expect(failed(await examine(patient))).toMatchObject({
      name: 'TLS version',
      detail: 'the server speaks TLSv1.2, not TLS 1.3',
    });
  });

  it('says that the port answers in plain text', async () => {
    const plain = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    closing.push(() => new Promise((resolve) => plain.close(resolve)));
    const { port } = plain.address() as AddressInfo;
    const patient = { host: '127.0.0.1', port, ca: ours.pem, insecure: false, now: Date.now, timeoutMs: 3000 };
    expect(failed(await examine(patient))).toMatchObject({
      name: 'TLS version',
      detail: 'the port answers, but not with TLS',
    });
  });

  it('names the TLS version step when the server never answers the handshake', async () => {
    const mute = createServer((socket) => {
      socket.on('error', () => undefined);
      closing.push(async () => socket.destroy());
    });
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    closing.push(async () => void mute.close());
    const { port } = mute.address() as AddressInfo;
    const patient = { host: '127.0.0.1', port, ca: ours.pem, insecure: false, now: Date.now, timeoutMs: 200 };
    expect(failed(await examine(patient))).toMatchObject({
      name: 'TLS version',
      detail: 'the TLS handshake does not end',
    });
  });

  it('names the chain when the CA is of another authority', async () => {
    const patient = { ...(await patientAt(await ours.issue())), ca: other.pem };
    expect(failed(await examine(patient))).toMatchObject({ name: 'certificate chain' });
  });

  it('names the chain when no CA is given for a private authority', async () => {
    const patient = { ...(await patientAt(await ours.issue())), ca: undefined };
    const step = failed(await examine(patient));
    expect(step.name).toBe('certificate chain');
    expect(step.todo).toContain('--ca');
  });

  it('names the chain when the certificate has expired', async () => {
    const old = await ours.issue({ daysAgo: 2 });
    expect(failed(await examine(await patientAt(old)))).toMatchObject({
      name: 'certificate chain',
      detail: expect.stringContaining('expired on'),
    });
  });

  it('names the chain when the certificate is not valid yet', async () => {
    const early = await ours.issue({ daysAgo: -1 });
    const step = failed(await examine(await patientAt(early)));
    expect(step.detail).toContain('valid only from');
    expect(step.todo).toContain('clock');
  });

  it('names the SAN when the certificate is for another host, and says which', async () => {
    const foreign = await ours.issue({ hosts: ['gateway.example'] });
    const step = failed(await examine(await patientAt(foreign)));
    expect(step.name).toBe('certificate name (SAN)');
    expect(step.detail).toContain('gateway.example');
    expect(step.todo).toContain('--san 127.0.0.1');
  });

  for (const [offered, lacking] of [
    [undefined, 'h2'],
    [['http/1.1'], 'h2'],
    [['h2'], 'http/1.1'],
  ] as const) {
    it(`names ALPN when the server offers ${offered ?? 'nothing'}`, async () => {
      const tls = { ...(await ours.issue()), ALPNProtocols: offered === undefined ? undefined : [...offered] };
      expect(failed(await examine(await patientAt(tls as TlsOptions)))).toMatchObject({
        name: 'ALPN',
        detail: `the server does not offer ${lacking} (ALPN)`,
      });
    });
  }

  it('names health over HTTP when the server is not ready or is something else', async () => {
    for (const [status, words] of [
      [503, 'not ready'],
      [404, 'answers 404'],
    ] as const) {
      const answer = (_: IncomingMessage, response: ServerResponse) => void response.writeHead(status).end();
      const step = failed(await examine(await patientAt(await ours.issue(), answer)));
      expect(step.name).toBe('health over HTTP');
      expect(step.detail).toContain(words);
    }
  });

  it('names health over gRPC when the service is absent or not serving', async () => {
    for (const status of ['absent', 'not-serving'] as const) {
      const patient = await patientAt(await ours.issue(), healthy, status);
      expect(failed(await examine(patient))).toMatchObject({ name: 'health over gRPC' });
    }
  });

  for (const [seconds, words] of [
    [-3600, 'behind'],
    [60, 'ahead of'],
  ] as const) {
    it(`names the clock when this machine is ${Math.abs(seconds)} s ${words} the server`, async () => {
      const answer = (_: IncomingMessage, response: ServerResponse) => {
        response.setHeader('date', new Date(Date.now() - seconds * 1000).toUTCString());
        response.end('ok');
      };
      const step = failed(await examine(await patientAt(await ours.issue(), answer)));
      expect(step.name).toBe('clock');
      expect(step.detail).toContain(`${words} the server`);
    });
  }

  it('lets a node be four minutes behind, as the gateway does', async () => {
    const answer = (_: IncomingMessage, response: ServerResponse) => {
      response.setHeader('date', new Date(Date.now() + 240_000).toUTCString());
      response.end('ok');
    };
    const steps = await examine(await patientAt(await ours.issue(), answer));
    expect(steps.find(({ name }) => name === 'clock')).toMatchObject({ state: 'ok' });
  });

  describe('with a node key', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
    const nodeKey = openSshPrivateKey(privateKey, 'node', Buffer.alloc(4, 7));

    const own = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString();
    const judged = async (status: number, detail: string) => {
      const answer: RequestListener = (request, response) => {
        const pem = Buffer.from(String(request.headers['flwr-public-key']), 'base64');
        if (pem.toString() !== own) return healthy(request, response);
        const timestamp = String(request.headers['flwr-timestamp']);
        const signature = Buffer.from(String(request.headers['flwr-signature']), 'base64');
        const good =
          verify('sha256', Buffer.from(timestamp), createPublicKey(pem.toString()), signature) &&
          /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/.test(timestamp);
        response.writeHead(good ? status : 500, { 'content-type': 'application/json' }).end(JSON.stringify({ detail }));
      };
      return await examine({ ...(await patientAt(await ours.issue(), answer)), nodeKey });
    };

    it('passes when the server knows the key and only objects to the made-up node id', async () => {
      const steps = await judged(401, 'NODE_IDENTITY: The node id does not belong to this key.');
      expect(steps.at(-1)).toMatchObject({ name: 'node key', state: 'ok' });
    });

    it('names the key when the server does not know it', async () => {
      const step = failed(await judged(401, "NODE_KEY_UNKNOWN: The node's key is not known here, or was removed."));
      expect(step).toMatchObject({ name: 'node key', todo: expect.stringContaining('aegis nodes approve') });
    });

    it('does not call a key registered when the server cannot tell', async () => {
      expect(failed(await judged(503, 'STORE_UNAVAILABLE'))).toMatchObject({ name: 'node key' });
    });

    it('says what is wrong with the key file itself', async () => {
      const steps = await examine({ ...(await patientAt(await ours.issue())), nodeKey: 'nonsense' });
      expect(failed(steps).detail).toContain('cannot be used');
    });
  });
});
