import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { readBody } from '@aegis/flower-wire';
import { noTelemetry } from '@aegis/service-kit';
import { eventually } from '@aegis/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import type { Counted } from './counted.ts';
import { type HttpPatience, httpServer } from './http.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** The server with a door of the test's own behind it. */
const serverWith = async (
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  less?: Partial<HttpPatience>,
) => {
  const refused: string[] = [];
  const counted = { refused: (_door, { code }) => void refused.push(code) } as Pick<Counted, 'refused'> as Counted;
  const flower = {
    handle: (request: IncomingMessage, response: ServerResponse) => {
      handle(request, response);
      return true;
    },
  };
  const server = httpServer({ flower, rest: null, counted, telemetry: noTelemetry }, less);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const open = (): Socket => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
    closing.push(() => socket.destroy());
    return socket;
  };
  return { server, open, refused };
};
const get = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n';
const next = async (socket: Socket): Promise<string> => String((await once(socket, 'data'))[0]);

describe('a connection of HTTP/1.1', () => {
  it('is cut off when nobody takes its answer, and not while a call is held', async () => {
    const held: ServerResponse[] = [];
    const large = Buffer.alloc(64 * 2 ** 20);
    const { server, open } = await serverWith(
      (request, response) => {
        if (request.url === '/held') held.push(response);
        else response.end(large);
      },
      { stalledMs: 100 },
    );
    const patient = open();
    patient.write(get.replace('/', '/held'));
    await once(server, 'request');
    const stalled = open().pause();
    stalled.write(get);
    const [, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
    // Each needs one or two of the limit. The held one came first, so its time was over first.
    await once(response, 'close');
    expect(response.writableFinished).toBe(false);
    held[0]?.end('at last');
    expect(await next(patient)).toContain('at last');
  });

  it('has a time to say what it wants, however slowly it begins', async () => {
    const { open } = await serverWith((_request, response) => void response.end('x'), { headersMs: 200, lookMs: 20 });
    const [silent, slow] = [open(), open()];
    const ended = [silent, slow].map((socket) => once(socket.resume(), 'close'));
    const head = 'GET / HTTP/1.1\r\nhost: x\r\n';
    for (const letter of head.repeat(1_000)) {
      if (slow.destroyed) break;
      slow.write(letter);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await Promise.all(ended);
    const honest = open();
    honest.write(get);
    expect(await next(honest)).toContain('200 OK');
  });

  it('may wait for so many answers at a time, and is ended with more', async () => {
    const held: ServerResponse[] = [];
    const { open, refused } = await serverWith((_request, response) => void held.push(response));
    const honest = open();
    honest.write(get.repeat(16));
    await eventually(() => held.length === 16);
    for (const response of held) response.end('x');
    expect(await next(honest)).toContain('200 OK');
    honest.write(get);
    await eventually(() => held.length === 17);
    const flooding = open();
    flooding.write(get.repeat(1_000));
    await once(flooding, 'close');
    expect(held.length).toBe(33);
    expect(refused).toEqual(['UNAVAILABLE']);
  });

  it('is told to send a body that it announces first, when somebody reads it', async () => {
    const { open } = await serverWith((request, response) => {
      if (request.url === '/') void readBody(request, 10).then((body) => response.end(body));
      else response.writeHead(401).end('no');
    });
    const head = 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n';
    const welcome = open();
    for (const body of ['ping', 'pong']) {
      welcome.write(head);
      expect(await next(welcome)).toBe('HTTP/1.1 100 Continue\r\n\r\n');
      welcome.write(body);
      expect(await next(welcome)).toMatch(new RegExp(`^HTTP/1.1 200 OK(.|\\s)*${body}$`));
    }
    const stranger = open();
    stranger.write(head.replace('/', '/private'));
    expect(await next(stranger)).toMatch(/^HTTP\/1.1 401 (.|\s)*connection: close/i);
    await once(stranger, 'close');
  });
});
