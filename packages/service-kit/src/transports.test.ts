import {
  type ExportModelChunk,
  ExportModelRequest,
  IntakeService as Intake,
  type IntakeService,
  RunsService,
} from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError } from '@aegis/errors';
import { conformanceSuite, eventually, recordingTelemetry, type TestPki, testPki } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { grpcChannel } from './grpc-channel.ts';
import { serveGrpc } from './grpc-server.ts';
import { inProcessChannel } from './in-process-channel.ts';
import { createLogger } from './logger.ts';
import { type CallContext, type HandlersOf, type ServiceChannel, type ServiceClient, serviceOf } from './service.ts';

// One service, one suite, every transport: nobody behind a ServiceChannel can tell which one carries the call.

class Subject {
  intake: Partial<HandlersOf<IntakeService>> = {};
  exportModel: (request: ExportModelRequest, call: CallContext) => AsyncIterable<ExportModelChunk> = noChunks;
  readonly logged: string[] = [];
  readonly recording = recordingTelemetry();
  readonly log = createLogger({ name: 'test', destination: { write: (line) => this.logged.push(line) } });
  readonly services = [
    serviceOf(
      Intake,
      handlersFrom(Intake, () => this.intake),
    ),
    serviceOf(RunsService, { ...handlersFrom(RunsService, () => ({})), exportModel: (r, c) => this.exportModel(r, c) }),
  ];
  channel: ServiceChannel = inProcessChannel([]);
  isRemote = true;
  get client(): ServiceClient<IntakeService> {
    return this.channel.client(Intake);
  }
  export(options: object = {}): AsyncIterable<ExportModelChunk> {
    return this.channel.client(RunsService).exportModel(ExportModelRequest.create({ format: 'npz' }), options);
  }
}

// Looks the handler up at each call, so that a test can set it after the transport stands.
const handlersFrom = <D extends object>(definition: D, current: () => object): HandlersOf<D> =>
  Object.fromEntries(
    Object.keys(definition).map((name) => [
      name,
      (...call: unknown[]) => {
        const handler = (current() as Record<string, (...call: unknown[]) => unknown>)[name];
        if (handler === undefined) throw new Error(`${name} is not part of this test`);
        return handler(...call);
      },
    ]),
  ) as unknown as HandlersOf<D>;

async function* noChunks(): AsyncGenerator<ExportModelChunk> {}

const forever = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

const caught = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
};

const transportSuite = conformanceSuite<Subject>('transport', (subject) => {
  it('carries a request and its answer, 64-bit ids whole', async () => {
    subject().intake.appendPart = async ({ task, partId, content }) => ({
      deduplicated: task?.nodeId === 2n ** 64n - 1n && partId === 'p' && content.equals(Buffer.from('bytes')),
    });
    const answer = await subject().client.appendPart({
      task: { taskId: 't', runId: 1n, nodeId: 2n ** 64n - 1n },
      partId: 'p',
      content: Buffer.from('bytes'),
    });
    expect(answer).toEqual({ deduplicated: true });
  });

  it('carries many MB in both directions', async () => {
    const content = Buffer.alloc(16 * 2 ** 20, 'weights');
    let received: Buffer | undefined;
    subject().intake.appendPart = async (request) => {
      received = request.content;
      return { deduplicated: false };
    };
    subject().intake.readModel = async () => ({ content: received ?? Buffer.alloc(0) });
    await subject().client.appendPart({ task: undefined, partId: '', content });
    const read = await subject().client.readModel({ modelId: '', offset: 0n, length: 0n });
    expect(received?.equals(content)).toBe(true);
    expect(read.content.equals(content)).toBe(true);
    if (!subject().isRemote) expect([received, read.content].every((bytes) => bytes === content)).toBe(true);
  });

  it('rebuilds the error a handler threw, without its cause', async () => {
    subject().intake.getRun = async () => {
      throw new AegisError('RUN_NOT_ACTIVE', 'Run 7 was stopped — „Ende“.', new Error('cause'));
    };
    const error = await caught(subject().client.getRun({ runId: 7n }));
    expect(error).toBeInstanceOf(AegisError);
    expect(error).toMatchObject({ code: 'RUN_NOT_ACTIVE', detail: 'Run 7 was stopped — „Ende“.' });
    expect((error as Error).cause).toBeUndefined();
  });

  it('hides what an unexpected error says; the log has it', async () => {
    subject().intake.getRun = async () => {
      throw new Error('password=hunter2 at /secret/path');
    };
    const error = await caught(subject().client.getRun({ runId: 7n }));
    expect(error).toMatchObject({ code: 'INTERNAL', detail: '' });
    expect(String((error as Error).stack)).not.toContain('hunter2');
    expect(subject().logged.join()).toContain('at /secret/path');
  });

  it('turns a synchronous throw of a handler into the same error', async () => {
    subject().intake.getRun = () => {
      throw new AegisError('RUN_NOT_FOUND', 'No run 7.');
    };
    expect(await caught(subject().client.getRun({ runId: 7n }))).toMatchObject({ code: 'RUN_NOT_FOUND' });
  });

  it('gives a call up when its caller aborts, and tells the handler', async () => {
    const told = Promise.withResolvers<boolean>();
    const started = Promise.withResolvers<void>();
    subject().intake.getRun = async (_, { signal }) => {
      started.resolve();
      signal.addEventListener('abort', () => told.resolve(true));
      return forever(signal);
    };
    const abort = new AbortController();
    const call = caught(subject().client.getRun({ runId: 1n }, { signal: abort.signal }));
    await started.promise;
    const reason = new Error('no longer wanted');
    abort.abort(reason);
    expect(await call).toBe(reason);
    expect(await told.promise).toBe(true);
    expect(subject().logged).toEqual([]);
  });

  it('does not start a call that is aborted already', async () => {
    const reason = new Error('too late');
    const signal = AbortSignal.abort(reason);
    expect(await caught(subject().client.getRun({ runId: 1n }, { signal }))).toBe(reason);
    expect(await caught(Array.fromAsync(subject().export({ signal })))).toBe(reason);
  });

  it('ends a call at its deadline and names it; the handler is told before', async () => {
    let reason: unknown;
    subject().intake.getRun = async (_, { signal }) =>
      forever(signal).catch((error: unknown) => {
        reason = error;
        throw error;
      });
    const error = await caught(subject().client.getRun({ runId: 1n }, { timeoutMs: 500 }));
    expect(error).toMatchObject({ code: 'DEADLINE', detail: expect.stringContaining('Intake/GetRun') });
    expect(reason).toMatchObject({ code: 'DEADLINE' });
  });

  it('ends a call at its deadline although the handler does not listen', async () => {
    subject().intake.getRun = () => new Promise(() => {});
    const error = await caught(subject().client.getRun({ runId: 1n }, { timeoutMs: 300 }));
    expect(error).toMatchObject({ code: 'DEADLINE' });
  });

  it('hands a handler the deadline, a little before its caller stops waiting', async () => {
    let deadline = 0;
    subject().intake.getRun = async (_, call) => {
      deadline = call.deadline;
      throw new AegisError('RUN_NOT_FOUND');
    };
    const latest = Date.now() + 60_000;
    await caught(subject().client.getRun({ runId: 1n }, { timeoutMs: 60_000 }));
    expect(deadline).toBeLessThan(latest + 1_000);
    expect(deadline).toBeGreaterThan(latest - 30_000);
  });

  it('streams in order and ends', async () => {
    subject().exportModel = async function* ({ format }) {
      for (let i = 0; i < 100; i += 1) yield { fileName: `${format}${i}`, content: Buffer.alloc(10_000, i) };
    };
    const chunks = await Array.fromAsync(subject().export());
    expect(chunks.map((chunk) => chunk.fileName)).toEqual(Array.from({ length: 100 }, (_, i) => `npz${i}`));
    expect(chunks.every((chunk, i) => chunk.content.equals(Buffer.alloc(10_000, i)))).toBe(true);
  });

  it('delivers what a stream sent before it failed, then the error', async () => {
    subject().exportModel = async function* () {
      yield { fileName: 'first', content: Buffer.from('1') };
      throw new AegisError('MODEL_NOT_FOUND', 'gone while reading');
    };
    const names: string[] = [];
    const error = await caught(
      (async () => {
        for await (const chunk of subject().export()) names.push(chunk.fileName);
      })(),
    );
    expect(names).toEqual(['first']);
    expect(error).toMatchObject({ code: 'MODEL_NOT_FOUND', detail: 'gone while reading' });
  });

  it('ends the handler of a stream whose reader stops early', async () => {
    const cleaned = Promise.withResolvers<boolean>();
    subject().exportModel = async function* (_, { signal }) {
      try {
        yield { fileName: 'one', content: Buffer.alloc(0) };
        await forever(signal);
      } finally {
        cleaned.resolve(signal.aborted);
      }
    };
    for await (const chunk of subject().export()) {
      expect(chunk.fileName).toBe('one');
      break;
    }
    expect(await cleaned.promise).toBe(true);
  });

  it('ends a waiting stream when its reader aborts', async () => {
    const cleaned = Promise.withResolvers<boolean>();
    subject().exportModel = async function* (_, { signal }) {
      try {
        yield { fileName: 'one', content: Buffer.alloc(0) };
        await forever(signal);
      } finally {
        cleaned.resolve(true);
      }
    };
    const abort = new AbortController();
    const reason = new Error('enough');
    const error = await caught(
      (async () => {
        for await (const _ of subject().export({ signal: abort.signal })) setImmediate(() => abort.abort(reason));
      })(),
    );
    expect(error).toBe(reason);
    expect(await cleaned.promise).toBe(true);
  });

  it('does not let a stream run far ahead of its reader', async () => {
    const chunk = Buffer.alloc(256 * 1024);
    let produced = 0;
    subject().exportModel = async function* () {
      for (; produced < 400; produced += 1) yield { fileName: '', content: chunk };
    };
    let consumed = 0;
    for await (const _ of subject().export()) {
      consumed += 1;
      await new Promise((resolve) => setImmediate(resolve));
      expect(produced - consumed).toBeLessThan(100);
      if (consumed === 150) break;
    }
  });

  it('continues the trace of its caller', async () => {
    const { telemetry, trees } = subject().recording;
    subject().intake.describeModel = async () =>
      telemetry.inSpan('read model', {}, () => ({ modelId: 'm', bytes: 0n, tensors: [] }));
    subject().exportModel = async function* () {
      await telemetry.inSpan('read chunk', {}, () => {});
      yield { fileName: '', content: Buffer.alloc(0) };
    };
    await telemetry.inSpan('round', {}, async () => {
      await subject().client.describeModel({ modelId: 'm' });
      await Array.fromAsync(subject().export());
    });
    await eventually(() => expect(trees()).toHaveLength(1));
    expect(trees()).toMatchObject([
      {
        name: 'round',
        children: [
          { name: 'aegis.aggregator.v1.Intake/DescribeModel', children: [{ name: 'read model', children: [] }] },
          { name: 'aegis.aggregator.v1.Runs/ExportModel', children: [{ name: 'read chunk', children: [] }] },
        ],
      },
    ]);
  });

  it('marks the span of a failed call with the code', async () => {
    subject().intake.getRun = async () => {
      throw new AegisError('RUN_NOT_FOUND', 'run 7');
    };
    await caught(subject().client.getRun({ runId: 7n }));
    expect(subject().recording.trees()).toMatchObject([{ attributes: { 'error.type': 'RUN_NOT_FOUND' } }]);
  });

  it('says that it is ready, and after close that it is not', async () => {
    expect(await subject().channel.ready()).toBe(true);
    await subject().channel.close();
    expect(await subject().channel.ready()).toBe(false);
    expect(await caught(subject().client.getRun({ runId: 1n }))).toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('every transport', () => {
  let pki: TestPki;
  beforeAll(async () => {
    pki = await testPki();
  });
  afterAll(() => pki.remove());

  transportSuite('in process', async () => {
    const subject = new Subject();
    subject.isRemote = false;
    subject.channel = inProcessChannel(subject.services, { log: subject.log, telemetry: subject.recording.telemetry });
    return { subject };
  });

  const overGrpc = async (secure: boolean) => {
    const subject = new Subject();
    const telemetry = subject.recording.telemetry;
    const quiet = createLogger({
      name: 'test',
      level: 'warn',
      destination: { write: (line) => subject.logged.push(line) },
    });
    const names = subject.services.map((service) => service.name);
    const server = await serveGrpc({
      address: '127.0.0.1:0',
      ...(secure ? { tls: await pki.material('aggregator') } : { insecure: true }),
      callers: Object.fromEntries(names.map((name) => [name, ['gateway']])),
      services: subject.services,
      log: quiet,
      telemetry,
    });
    const address = `localhost:${server.port}`;
    subject.channel = grpcChannel({
      address,
      ...(secure ? { tls: await pki.material('gateway') } : { insecure: true }),
      telemetry,
    });
    const end = async () => {
      await subject.channel.close();
      await server.close();
    };
    return { subject, end };
  };
  transportSuite('gRPC, plain', () => overGrpc(false));
  transportSuite('gRPC, mutual TLS', () => overGrpc(true));
});
