import type { HttpConnection } from './http-connection.ts';
import type { Opener } from './opener.ts';
import type { Signer } from './signer.ts';
import { FleetError, type FleetMethod, type Place, type Refusal, type Transport, totalLength } from './transport.ts';

/** httpx forgets a connection that was idle this long; so a heartbeat every 20 s is a new TLS handshake. */
const KEEP_ALIVE_MS = 5_000;

const path = (method: FleetMethod): string =>
  `/v1/fleet/${method.replace(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase()}`;

/** Dialect A: protobuf over HTTP/1.1, with the headers and the connection pool of flwr 1.41's client. */
export class HttpTransport implements Transport {
  readonly #place: Place;
  readonly #opener: Opener;
  readonly #signer: Pick<Signer, 'publicKeyPem' | 'credential'>;
  readonly #key: string;
  readonly #idle: HttpConnection[] = [];
  readonly #busy = new Set<HttpConnection>();
  #closed = false;

  constructor(place: Place, opener: Opener, signer: Pick<Signer, 'publicKeyPem' | 'credential'>) {
    this.#place = place;
    this.#opener = opener;
    this.#signer = signer;
    this.#key = signer.publicKeyPem.toString('base64');
  }

  async call(method: FleetMethod, body: Uint8Array[], timeoutMs: number): Promise<Buffer> {
    const connection = this.#reuse() ?? (await this.#opener.open(this.#place));
    this.#busy.add(connection);
    try {
      const { status, body: answer } = await connection.request(this.#head(method, totalLength(body)), body, timeoutMs);
      if (connection.usable && !this.#closed) this.#idle.push(connection);
      if (status !== 200)
        throw new FleetError(refusalOf(status), `${method}: ${status} ${answer.toString('utf8', 0, 300)}`);
      return answer;
    } finally {
      this.#busy.delete(connection);
    }
  }

  forgetIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  close(): void {
    this.#closed = true;
    for (const connection of [...this.#idle, ...this.#busy]) connection.close();
  }

  /** Like httpx's pool: every request first closes what was idle too long. */
  #reuse(): HttpConnection | undefined {
    const oldest = Date.now() - KEEP_ALIVE_MS;
    const fresh = this.#idle.filter((connection) => connection.usable && connection.idleSince > oldest);
    for (const connection of this.#idle) if (!fresh.includes(connection)) connection.close();
    const chosen = fresh.pop();
    this.#idle.splice(0, this.#idle.length, ...fresh);
    return chosen;
  }

  #head(method: FleetMethod, length: number): string {
    const { timestamp, signature } = this.#signer.credential();
    return `POST ${path(method)} HTTP/1.1\r\nHost: ${this.#place.host}:${this.#place.port}\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nUser-Agent: python-httpx/0.28.1\r\ncontent-type: application/protobuf\r\naccept: application/protobuf\r\nContent-Length: ${length}\r\nflwr-package-name: flwr\r\nflwr-package-version: 1.41.0\r\nflwr-component-name: SuperNode\r\nflwr-public-key: ${this.#key}\r\nflwr-timestamp: ${timestamp}\r\nflwr-signature: ${signature.toString('base64')}\r\n\r\n`;
  }
}

function refusalOf(status: number): Refusal {
  if (status === 502 || status === 503 || status === 504) return 'retry';
  if (status === 403) return 'run-over';
  return status === 401 ? 'expelled' : 'fatal';
}
