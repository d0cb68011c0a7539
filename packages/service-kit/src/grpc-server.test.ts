import { connect as connectTls, createSecureContext } from 'node:tls';
import { IntakeService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { HealthService } from '@aegis/contracts/grpc/health/v1/health';
import { AegisError } from '@aegis/errors';
import { eventually, type TestPki, testPki } from '@aegis/testkit';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { grpcChannel } from './grpc-channel.ts';
import { type GrpcServer, type ServeGrpcOptions, serveGrpc } from './grpc-server.ts';
import { fromGrpcStatus } from './grpc-status.ts';
import { silentLogger } from './logger.ts';
import { type CallContext, type HandlersOf, serviceOf } from './service.ts';

const intake = 'aegis.aggregator.v1.Intake';

const unused = async (): Promise<never> => {
  throw new AegisError('INTERNAL');
};
const handlers = (more: Partial<HandlersOf<IntakeService>>): HandlersOf<IntakeService> => ({
  getRun: unused,
  getApp: unused,
  describeModel: unused,
  readModel: unused,
  missingParts: unused,
  appendPart: unused,
  readPart: unused,
  submitUpdate: unused,
  failTask: async () => ({}),
  ...more,
});
const failTask = { task: undefined, code: 0, reason: '' };

describe('gRPC server', () => {
  let pki: TestPki;
  const open: { close(): Promise<void> }[] = [];
  beforeAll(async () => {
    pki = await testPki();
  });
  afterEach(async () => {
    for (const end of open.splice(0).toReversed()) await end.close();
  });
  afterAll(() => pki.remove());

  const serve = async (
    more: Partial<ServeGrpcOptions> = {},
    own: Partial<HandlersOf<IntakeService>> = {},
  ): Promise<GrpcServer> => {
    const server = await serveGrpc({
      address: 'localhost:0',
      callers: { [intake]: ['gateway'] },
      services: [serviceOf(IntakeService, handlers(own))],
      log: silentLogger,
      ...more,
    });
    open.push(server);
    return server;
  };
  const secure = async (own: Partial<HandlersOf<IntakeService>> = {}): Promise<GrpcServer> =>
    serve({ tls: await pki.material('aggregator') }, own);
  const channelAs = async (name: string, { port }: GrpcServer) => {
    const channel = grpcChannel({ address: `localhost:${port}`, tls: await pki.material(name) });
    open.push(channel);
    return channel;
  };

  it('lets in the callers on the list of the service and tells the handler who calls', async () => {
    let caller = '';
    const server = await secure({
      failTask: async (_, call: CallContext) => {
        caller = call.caller;
        return {};
      },
    });
    await (await channelAs('gateway', server)).client(IntakeService).failTask(failTask);
    expect(caller).toBe('gateway');
  });

  it('refuses an authenticated caller that is not on the list, but answers its health question', async () => {
    const stranger = await channelAs('stranger', await secure());
    await expect(stranger.client(IntakeService).failTask(failTask)).rejects.toMatchObject({
      code: 'CALLER_FORBIDDEN',
      detail: `stranger is not a caller of ${intake}.`,
    });
    expect(await stranger.ready()).toBe(true);
  });

  it('refuses a certificate of another authority, and none at all', async () => {
    const { port } = await secure();
    const other = await testPki();
    const { ca } = await pki.material('gateway');
    const foreign = { ...(await other.material('gateway')), ca };
    const channel = grpcChannel({ address: `localhost:${port}`, tls: foreign });
    open.push(channel);
    await expect(channel.client(IntakeService).failTask(failTask, { timeoutMs: 20_000 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    const bare = new Client(`localhost:${port}`, credentials.createSsl(ca));
    expect((await rawCall(bare, '/grpc.health.v1.Health/Check', Buffer.alloc(0))).code).toBe(status.UNAVAILABLE);
    bare.close();
    await other.remove();
  });

  it('does not trust a server whose certificate is for another name', async () => {
    const { port } = await serve({ tls: await pki.material('aggregator') });
    const channel = grpcChannel({
      address: `localhost:${port}`,
      tls: await pki.material('gateway'),
      serverName: 'somebody-else',
    });
    open.push(channel);
    await expect(channel.client(IntakeService).failTask(failTask, { timeoutMs: 20_000 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  it('speaks TLS 1.3 and nothing older', async () => {
    const { port } = await secure();
    const { ca, cert, key } = await pki.material('gateway');
    const handshake = (version: 'TLSv1.2' | 'TLSv1.3') =>
      new Promise<string | null>((resolve) => {
        const secureContext = createSecureContext({ ca, cert, key, minVersion: version, maxVersion: version });
        const socket = connectTls({
          host: 'localhost',
          port,
          secureContext,
          servername: 'localhost',
          ALPNProtocols: ['h2'],
        });
        const answer = (text: string | null) => {
          resolve(text);
          socket.destroy();
        };
        socket.once('secureConnect', () => answer(socket.getProtocol()));
        socket.once('error', () => answer('refused'));
      });
    expect(await handshake('TLSv1.2')).toBe('refused');
    expect(await handshake('TLSv1.3')).toBe('TLSv1.3');
  });

  it('does not start with a caller list for a service it does not serve', async () => {
    const start = serve({ insecure: true, callers: { [intake]: [], 'aegis.aggregator.v1.Intak': ['gateway'] } });
    await expect(start).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      detail: expect.stringContaining('callers.aegis.aggregator.v1.Intak'),
    });
  });

  it('does not start with a served service that has no caller list', async () => {
    const start = serve({ tls: await pki.material('aggregator'), callers: {} });
    await expect(start).rejects.toMatchObject({ code: 'CONFIG_INVALID', detail: expect.stringContaining(intake) });
  });

  it('does not serve or call in plain text unless told so', async () => {
    await expect(serve()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      detail: expect.stringContaining('insecure'),
    });
    expect(() => grpcChannel({ address: 'localhost:1' })).toThrow(/insecure/);
  });

  it('says so when the port is taken', async () => {
    const { port } = await serve({ insecure: true });
    const second = serve({ insecure: true, address: `localhost:${port}` });
    await expect(second).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      detail: expect.stringContaining(String(port)),
    });
  });

  it('answers a request that cannot be decoded with REQUEST_MALFORMED and no parser text', async () => {
    const { port } = await serve({ insecure: true });
    const client = new Client(`localhost:${port}`, credentials.createInsecure());
    for (const bytes of [Buffer.from([0x0a, 0x7f, 0x01]), Buffer.alloc(10_000, 0xff)]) {
      const error = await rawCall(client, `/${intake}/AppendPart`, bytes);
      expect(error.code).toBe(status.INVALID_ARGUMENT);
      expect(fromGrpcStatus(error).code).toBe('REQUEST_MALFORMED');
      expect(error.details).toMatch(/^The request could not be decoded\./);
    }
    const unknown = await rawCall(client, `/${intake}/NoSuchMethod`, Buffer.alloc(0));
    expect(fromGrpcStatus(unknown).code).toBe('METHOD_UNKNOWN');
    client.close();
  });

  it('drains: health says no, new calls are refused, streams end, calls under way finish', async () => {
    const finish = Promise.withResolvers<object>();
    const started = Promise.withResolvers<void>();
    const server = await serve(
      { insecure: true },
      {
        failTask: async () => {
          started.resolve();
          return finish.promise;
        },
      },
    );
    const channel = grpcChannel({ address: `localhost:${server.port}`, insecure: true });
    open.push(channel);
    const underWay = channel.client(IntakeService).failTask(failTask);
    await started.promise;
    const states: number[] = [];
    const watching = (async () => {
      for await (const { status: state } of channel.client(HealthService).watch({ service: intake }))
        states.push(state);
    })();
    watching.catch(() => {});
    await eventually(() => states.length === 1);
    let drained = false;
    const drain = server.drain().then(() => {
      drained = true;
    });
    await expect(channel.client(IntakeService).failTask(failTask)).rejects.toMatchObject({ code: 'DRAINING' });
    await expect(watching).rejects.toMatchObject({ code: 'DRAINING' });
    expect(drained).toBe(false);
    finish.resolve({});
    expect(await underWay).toEqual({});
    await drain;
    expect(await channel.ready()).toBe(false);
  });

  it('reports itself unhealthy while its owner says so', async () => {
    let healthy = false;
    const { port } = await serve({ insecure: true, healthy: () => healthy });
    const channel = grpcChannel({ address: `localhost:${port}`, insecure: true });
    open.push(channel);
    expect(await channel.ready()).toBe(false);
    healthy = true;
    expect(await channel.ready()).toBe(true);
  });

  it('is UNAVAILABLE to its callers while it is away, and reached again on the same port', async () => {
    const first = await serve({ insecure: true });
    const channel = grpcChannel({ address: `localhost:${first.port}`, insecure: true });
    open.push(channel);
    const client = channel.client(IntakeService);
    await client.failTask(failTask);
    await first.close();
    await expect(client.failTask(failTask)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await serve({ insecure: true, address: `localhost:${first.port}` });
    expect(await eventually(() => client.failTask(failTask))).toEqual({});
  });
});

describe('serviceOf', () => {
  it('refuses an implementation with a method missing or one too many', () => {
    const { failTask: _, ...without } = handlers({});
    expect(() => serviceOf(IntakeService, without as HandlersOf<IntakeService>)).toThrow(/failTask has no handler/);
    const extra = { ...handlers({}), doMore: unused };
    expect(() => serviceOf(IntakeService, extra)).toThrow(/no method doMore/);
  });
});

describe('fromGrpcStatus', () => {
  it('keeps kind and text of a code this release does not know', () => {
    const metadata = new Metadata();
    metadata.set('aegis-error-bin', Buffer.from('{"code":"FROM_THE_FUTURE","detail":"what is wrong"}'));
    expect(fromGrpcStatus({ code: status.UNAVAILABLE, metadata })).toMatchObject({
      code: 'UNAVAILABLE',
      detail: 'what is wrong',
    });
  });

  it('takes a broken trailer for none', () => {
    const metadata = new Metadata();
    metadata.set('aegis-error-bin', Buffer.from('{'));
    expect(fromGrpcStatus({ code: status.UNKNOWN, metadata }).code).toBe('INTERNAL');
  });
});

const identity = (bytes: Buffer): Buffer => bytes;
const rawCall = (client: Client, path: string, bytes: Buffer): Promise<ServiceError> =>
  new Promise((resolve, reject) =>
    client.makeUnaryRequest(path, identity, identity, bytes, (error) =>
      error === null ? reject(new Error('the call went through')) : resolve(error),
    ),
  );
