import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createRoot, issueCertificate } from '@aegis/service-kit';
import { type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

/** The first bytes of a client's hello: a record that announces 512 and stops short of them. */
const HALF_A_HELLO = Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]);

let folder: TemporaryFolder;
let ca: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  folder = await temporaryFolder();
  const root = await createRoot('hospitals', 1, Date.now());
  const { certPem, keyPem } = await issueCertificate(
    root,
    { kind: 'service', name: 'gw', hosts: ['localhost'], days: 1 },
    Date.now(),
  );
  ca = root.certPem;
  await writeFile(join(folder.path, 'cert.pem'), certPem);
  await writeFile(join(folder.path, 'key.pem'), keyPem, { mode: 0o600 });
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(() => folder.remove());

async function portProcess({
  handshakeMs = 10_000,
  reset = true,
} = {}): Promise<{ child: ChildProcess; port: number }> {
  const script = join(import.meta.dirname, '../testing/port-process.ts');
  const files = [join(folder.path, 'cert.pem'), join(folder.path, 'key.pem')];
  const args = [script, ...files, String(handshakeMs), ...(reset ? ['reset'] : [])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const [line] = await once(createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }), 'line');
  return { child, port: Number(line) };
}

/** How the other side ended a connection: 'reset' or 'end'. */
const endOf = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    socket.once('end', () => resolve('end'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNRESET' ? 'reset' : `${error}`));
    socket.resume();
  });

async function halfway(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(HALF_A_HELLO);
  return socket;
}

const page = (port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const call = request({ host: 'localhost', port, ca, agent: false }, (response) => {
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
      });
      response.once('end', () => resolve(bytes));
      response.once('error', reject);
    });
    call.once('error', reject).end();
  });

// What a SuperNode of 1.40 and later makes of it: a reset is a lost connection, to be tried again; an orderly end in the middle of a
// handshake is a bad certificate, after which it never comes again.
describe('a connection that ends before its handshake is over', () => {
  it.each([
    { reset: true, end: 'reset' },
    { reset: false, end: 'end' },
  ])('ends in "$end" when the gateway is killed, with resets $reset', async ({ reset, end }) => {
    const { child, port } = await portProcess({ reset });
    const ends = endOf(await halfway(port));
    await page(port); // by now the half hello has been read as well
    child.kill('SIGKILL');
    expect(await ends).toBe(end);
  });

  it('is reset when the gateway was too slow for it', async () => {
    const { port } = await portProcess({ handshakeMs: 200 });
    expect(await endOf(await halfway(port))).toBe('reset');
  });

  it('ends in order, with the reason, when the client does not speak TLS', async () => {
    const { port } = await portProcess();
    const socket = connect(port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\n\r\n');
    expect(await endOf(socket)).toBe('end');
  });
});

describe('a connection whose handshake is over', () => {
  it('carries an answer to its last byte although the gateway closes it', async () => {
    const { port } = await portProcess();
    expect(await page(port)).toBe(32 * 2 ** 20);
  });
});
