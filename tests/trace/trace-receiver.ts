// Where a collector sends what it keeps: OTLP over HTTP, as JSON.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface KeptSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** '' = a root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly service: string;
  /** Those that are text. */
  readonly attributes: ReadonlyMap<string, string>;
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string };
}
interface Exported {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        traceId: string;
        spanId: string;
        parentSpanId?: string;
        name: string;
        attributes?: readonly Attribute[];
      }[];
    }[];
  }[];
}

export class TraceReceiver {
  readonly spans: KeptSpan[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<TraceReceiver> {
    const server = createServer();
    const receiver = new TraceReceiver(server);
    server.on('request', async (request, response) => {
      const body = Buffer.concat(await Array.fromAsync(request));
      receiver.#keep(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Spans by their trace. */
  traces(): KeptSpan[][] {
    return [...Map.groupBy(this.spans, ({ traceId }) => traceId).values()];
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #keep(body: Buffer): void {
    const { resourceSpans } = JSON.parse(body.toString()) as Exported;
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        const { traceId, spanId, parentSpanId = '', name, attributes = [] } = span;
        const texts = new Map(attributes.map(({ key, value }) => [key, value.stringValue ?? '']));
        this.spans.push({ traceId, spanId, parentSpanId, name, service, attributes: texts });
      }
    }
  }
}
