import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { AegisError } from '@aegis/errors';
import { eventually } from '@aegis/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { BodyPace, discardRest, readBody } from './read-body.ts';

const opened: { server: Server; socket: Socket }[] = [];
afterEach(() => {
  for (const { server, socket } of opened.splice(0)) {
    socket.destroy();
    server.close();
  }
});

/** A request whose body the test writes itself. */
async function requestWith(head: string): Promise<{ socket: Socket; request: IncomingMessage }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  opened.push({ server, socket });
  socket.write(`POST / HTTP/1.1\r\nhost: x\r\n${head}\r\n\r\n`);
  const [request] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
  return { socket, request };
}

const bytesOf = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, index) => index % 251));
const LIMIT = 64 * 2 ** 20;

describe('the body of a request', () => {
  it.each([0, 1, 1_000, 65_536, 65_537, 1_048_576, 5_300_000])(
    'of %i announced bytes arrives whole',
    async (length) => {
      const { socket, request } = await requestWith(`content-length: ${length}`);
      const sent = bytesOf(length);
      const reading = readBody(request, LIMIT);
      socket.write(sent.subarray(0, length >> 1));
      socket.write(sent.subarray(length >> 1));
      const body = await reading;
      expect(body.byteLength).toBe(length);
      expect(body.equals(sent)).toBe(true);
    },
  );

  it('without a length arrives whole, and is refused at the byte too many', async () => {
    const chunk = (bytes: Buffer): Buffer =>
      Buffer.concat([Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
    const whole = await requestWith('transfer-encoding: chunked');
    whole.socket.write(Buffer.concat([chunk(bytesOf(70_000)), chunk(bytesOf(3)), Buffer.from('0\r\n\r\n')]));
    expect((await readBody(whole.request, LIMIT)).byteLength).toBe(70_003);
    const large = await requestWith('transfer-encoding: chunked');
    large.socket.write(chunk(bytesOf(1_001)));
    await expect(readBody(large.request, 1_000)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' });
  });

  it('costs memory by what has arrived, not by what was announced', async () => {
    const { socket, request } = await requestWith(`content-length: ${LIMIT}`);
    const before = process.memoryUsage().arrayBuffers;
    let arrived = 0;
    const add = (bytes: number): undefined => {
      arrived += bytes;
    };
    const reading = readBody(request, LIMIT, { meter: { add } });
    socket.write(Buffer.alloc(1_000));
    await eventually(() => arrived === 1_000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 21);
    socket.destroy();
    await expect(reading).rejects.toMatchObject({ code: 'REQUEST_MALFORMED' });
  });

  it('that stops arriving is given up, with the answer that makes an honest client try again', async () => {
    const { socket, request } = await requestWith('content-length: 1000');
    socket.write('some');
    await expect(readBody(request, LIMIT, { idleMs: 30 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('stays with its sender while its meter waits, and arrives whole afterwards', async () => {
    const { socket, request } = await requestWith('content-length: 5000000');
    let arrived = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const add = (bytes: number): Promise<void> | undefined => {
      arrived += bytes;
      return arrived < 100_000 || arrived - bytes >= 100_000 ? undefined : promise;
    };
    const reading = readBody(request, LIMIT, { meter: { add } });
    const sent = bytesOf(5_000_000);
    socket.write(sent);
    await eventually(() => arrived >= 100_000);
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(arrived).toBeLessThan(1_000_000);
    resolve();
    expect((await reading).equals(sent)).toBe(true);
  });

  it('is refused when its meter says so, and told of every byte before', async () => {
    const { socket, request } = await requestWith('content-length: 1000000');
    let arrived = 0;
    const add = (bytes: number): undefined => {
      arrived += bytes;
      if (arrived > 500_000) throw new AegisError('UNAVAILABLE', 'full');
    };
    const reading = readBody(request, LIMIT, { meter: { add } });
    socket.write(Buffer.alloc(1_000_000));
    await expect(reading).rejects.toMatchObject({ code: 'UNAVAILABLE', detail: 'full' });
    expect(arrived).toBeGreaterThan(500_000);
  });
});

describe('the rest of a refused request', () => {
  it('is thrown away, and the connection serves on; more than is thrown away ends it', async () => {
    const { socket, request } = await requestWith('content-length: 100');
    discardRest(request, 100);
    socket.write(bytesOf(100));
    await once(request, 'end');
    expect(request.socket.destroyed).toBe(false);
    const endless = await requestWith('content-length: 1000000000');
    discardRest(endless.request, 100);
    endless.socket.on('error', () => {}).write(bytesOf(101));
    await once(endless.socket, 'close');
  });
});

describe('the pace of a body', () => {
  const slow = expect.objectContaining({ code: 'UNAVAILABLE' });

  it('is that of a slow line at least, once its first minute is over', () => {
    let now = 0;
    const pace = new BodyPace(() => now);
    now = 60_000;
    expect(() => pace.arrived(1)).not.toThrow();
    now = 70_000;
    expect(() => pace.arrived(40 * 1024)).not.toThrow();
    expect(() => pace.arrived(40 * 1024 - 1)).toThrow(slow);
  });

  it('counts from when we read on', () => {
    let now = 0;
    const pace = new BodyPace(() => now);
    pace.arrived(100_000);
    now = 600_000;
    pace.begin();
    now = 661_000;
    expect(() => pace.arrived(100_000 + 4 * 1024)).not.toThrow();
    expect(() => pace.arrived(100_001)).toThrow(slow);
  });
});
