import { once } from 'node:events';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { FleetError, joinedIfSmall, type Place } from './transport.ts';

export interface HttpAnswer {
  status: number;
  body: Buffer;
}

/** One HTTP/1.1 keep-alive connection that carries one request at a time: as much of HTTP as a Fleet call needs. */
export class HttpConnection {
  idleSince = 0;
  #socket: TLSSocket;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #wanted = 0;
  #wake: (() => void) | null = null;
  #broken: Error | null = null;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received.push(chunk);
      this.#receivedBytes += chunk.length;
      if (this.#receivedBytes >= this.#wanted) this.#wake?.();
    });
    const broke = (error: Error) => {
      this.#broken ??= error;
      this.#wake?.();
    };
    socket.on('error', broke);
    socket.on('close', () => broke(new Error('connection closed')));
    socket.on('timeout', () => socket.destroy(new Error('read timeout')));
  }

  static async open(place: Place, secureContext: SecureContext): Promise<HttpConnection> {
    const socket = connect({ ...place, secureContext, ALPNProtocols: ['http/1.1'] });
    socket.setNoDelay(true);
    try {
      await once(socket, 'secureConnect');
    } catch (error) {
      socket.destroy();
      throw new FleetError('retry', `connect: ${(error as Error).message}`);
    }
    return new HttpConnection(socket);
  }

  get usable(): boolean {
    return this.#broken === null;
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Like httpx: the head in one write, the body after it. */
  async request(head: string, body: Uint8Array[], timeoutMs: number): Promise<HttpAnswer> {
    this.#socket.setTimeout(timeoutMs);
    this.#socket.write(head, 'latin1');
    for (const piece of joinedIfSmall(body)) this.#socket.write(piece);
    const answer = await this.#answer();
    this.#socket.setTimeout(0);
    this.idleSince = Date.now();
    return answer;
  }

  async #answer(): Promise<HttpAnswer> {
    const lines = (await this.#head()).split('\r\n');
    const status = Number(lines[0]?.split(' ', 2)[1]);
    const headers = new Map<string, string>();
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    let body = headers.get('transfer-encoding') === 'chunked' ? await this.#chunked() : await this.#sized(headers);
    if (headers.get('content-encoding') === 'gzip') body = gunzipSync(body);
    if (headers.get('connection') === 'close') this.#broken ??= new Error('server closes');
    return { status, body };
  }

  #sized(headers: Map<string, string>): Promise<Buffer> {
    const length = headers.get('content-length');
    if (length === undefined) throw new FleetError('fatal', 'answer without a length');
    return this.#take(Number(length));
  }

  async #chunked(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (;;) {
      const size = Number.parseInt(await this.#until('\r\n'), 16);
      const chunk = await this.#take(size + 2);
      if (size === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, size));
    }
  }

  #head(): Promise<string> {
    return this.#until('\r\n\r\n');
  }

  async #until(mark: string): Promise<string> {
    for (;;) {
      const all = this.#joined();
      const end = all.indexOf(mark);
      if (end >= 0) return (await this.#take(end + mark.length)).toString('latin1', 0, end);
      await this.#more(this.#receivedBytes + 1);
    }
  }

  async #take(length: number): Promise<Buffer> {
    await this.#more(length);
    const all = this.#joined();
    const rest = all.subarray(length);
    this.#received = rest.length > 0 ? [rest] : [];
    this.#receivedBytes = rest.length;
    return all.subarray(0, length);
  }

  #joined(): Buffer {
    if (this.#received.length !== 1) this.#received = [Buffer.concat(this.#received)];
    return this.#received[0] as Buffer;
  }

  async #more(wanted: number): Promise<void> {
    while (this.#receivedBytes < wanted) {
      if (this.#broken) throw new FleetError('retry', this.#broken.message);
      this.#wanted = wanted;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }
}
