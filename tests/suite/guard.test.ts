import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import { explainRun, loadPolicy, runGuard } from '@aegis/guard';
import { createCrl, createRoot, issueCertificate, silentLogger, systemClock } from '@aegis/service-kit';
import { eventually, freePort, type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { Metadata } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { signApp } from '../../cli/src/keys/app-signature.ts';
import { ed25519Line } from '../../cli/src/keys/ed25519-private-key.ts';
import { GatewayFixture, TOKEN } from '../../services/gateway/src/testing/gateway-fixture.ts';
import { floatsOf, npyOf } from '../../services/gateway/src/testing/npy.ts';
import { modelOf, ScriptedAggregator } from '../../services/gateway/src/testing/scripted-aggregator.ts';
import type { FlowerDialect } from '../../services/gateway/src/testing/simulated-node.ts';
import { openClient, rawGrpc } from '../../services/gateway/src/testing/wire-client.ts';
import { type App, adds, WorkingNode } from './nodes.ts';

// A guard on its own, before a real gateway that requires certificates; behind it a SuperNode that looks stock from the wire.

const nats = withNats();
const now = Date.now();
const root = await createRoot('hospitals', 3653, now);
const revoked = await issueCertificate(root, { kind: 'guard', name: 'eve', days: 9 }, now);
const aggregator = new ScriptedAggregator();

let folder: TemporaryFolder;
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
let clientFiles: Record<string, string>;
const guards: { end(): Promise<unknown> }[] = [];

beforeAll(async () => {
  folder = await temporaryFolder('guard');
  clientFiles = { 'client-ca': join(folder.path, 'root.pem'), 'client-crl': join(folder.path, 'crl.pem') };
  await writeFile(join(folder.path, 'root.pem'), root.certPem);
  await writeFile(join(folder.path, 'crl.pem'), await createCrl(root, [{ serial: revoked.serial, at: now }], 30, now));
  fixture = await GatewayFixture.open(nats(), aggregator, { tls: true });
  gateway = await openGateway(`127.0.0.1:${await freePort()}`);
});
afterEach(async () => {
  aggregator.before = () => {};
  for (const guard of guards.splice(0)) await guard.end();
});
afterAll(async () => {
  await fixture.close();
  await folder.remove();
});

const openGateway = (listen: string) =>
  fixture.gateway({ config: { listen, 'client-certificates': 'require', enrolment: 'registered' }, tls: clientFiles });

const open = 'apps: ["*"]\nmetrics: [seen, loss]\n';

interface Options {
  /** Starts nothing; whoever wants is a SuperNode at `guard.listensAt()`. */
  readonly listens?: boolean;
  readonly policy?: string;
  readonly dialect?: FlowerDialect;
  readonly app?: App;
  readonly certificate?: { readonly certPem: string; readonly keyPem: string };
}

/** A guard with its own state, which may be started again. */
const newGuard = async (name: string, options: Options = {}) => {
  const { policy = open, dialect = 'A', app = adds(1, 10), listens = false } = options;
  const certificate = options.certificate ?? (await issueCertificate(root, { kind: 'guard', name, days: 9 }, now));
  const home = join(folder.path, name);
  await mkdir(home, { recursive: true });
  const policyFile = join(home, 'policy.yaml');
  await writeFile(policyFile, policy);
  const state = join(home, 'state');
  const said: string[] = [];
  const supernodes: WorkingNode[] = [];
  const start = () => {
    const stopping = new AbortController();
    const { host, port, ca = Buffer.alloc(0) } = gateway.target;
    const ended = runGuard({
      ...{ address: `${host}:${port}`, serverName: 'localhost', state, policyFile, loaded: loadPolicy(policyFile) },
      ...{
        command: listens ? [] : ['flower-supernode'],
        listen: listens ? { host: '127.0.0.1', port: 0 } : undefined,
        env: {},
        signing: null,
        log: silentLogger,
        say: (line) => void said.push(line),
      },
      tls: { ca, cert: Buffer.from(certificate.certPem), key: Buffer.from(certificate.keyPem) },
      signal: stopping.signal,
      launch: (_command, args) => {
        const [at = ''] = args.slice(args.indexOf('--superlink') + 1);
        const node = new WorkingNode({ host: '127.0.0.1', port: Number(at.split(':')[1]) }, dialect, app);
        supernodes.push(node);
        const { promise, resolve } = Promise.withResolvers<{ code: number | null }>();
        void eventually(() => node.start()).catch(() => {});
        return { ended: promise, end: () => node.kill().then(() => resolve({ code: 0 })) };
      },
    });
    ended.catch(() => {});
    const guard = {
      ended,
      end: async () => {
        stopping.abort(new Error('the test is over'));
        return ended.catch((error: unknown) => error);
      },
    };
    guards.push(guard);
    return guard;
  };
  const nodeId = async (): Promise<bigint> => {
    const line = await eventually(() => said.find((one) => one.includes('as node')) ?? Promise.reject(new Error('no')));
    return BigInt(line.split('as node ')[1] ?? 0);
  };
  const audit = async () =>
    (await readFile(join(state, 'audit.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  const listensAt = async () => {
    const line = await eventually(
      () => said.find((one) => one.startsWith('waiting')) ?? Promise.reject(new Error('no')),
    );
    return { host: '127.0.0.1', port: Number(/127\.0\.0\.1:(\d+) /.exec(line)?.[1]) };
  };
  return { start, nodeId, audit, said, state, supernodes, policyFile, listensAt };
};

const submittedFor = (taskId: string) =>
  eventually(
    () => aggregator.submitted.find(({ task }) => task?.taskId === taskId) ?? Promise.reject(new Error('not yet')),
  );
const failedFor = (taskId: string) =>
  eventually(() => aggregator.failed.find((one) => one.taskId === taskId) ?? Promise.reject(new Error('not yet')));
/** What the aggregator was given, put together. */
const arraysOf = ({ tensors }: Awaited<ReturnType<typeof submittedFor>>) =>
  Object.fromEntries(
    tensors.map(({ name, slices }) => [
      name,
      floatsOf(
        Buffer.concat(
          slices.map(({ partId, offset, length }) =>
            (aggregator.parts.get(partId) ?? Buffer.alloc(0)).subarray(Number(offset), Number(offset + length)),
          ),
        ),
      ),
    ]),
  );

/** As the operator's command hands it in. */
const sign = async (appHash: string, keyId: string, verification: string): Promise<void> => {
  const client = openClient(gateway.target);
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${TOKEN}`);
  const { path, requestSerialize } = OperatorService.signApp;
  await rawGrpc(client, path, requestSerialize({ appHash, keyId, verification }), metadata);
  client.close();
};

describe('a SuperNode behind a guard', () => {
  it.each(['A', 'B', 'C'] as const)(
    'of dialect %s takes part, and only what the policy names leaves',
    async (dialect) => {
      const policy = 'apps: [aegis/app]\ntensors: [b, { name: w, min: 2, max: 4 }]\n';
      const guard = await newGuard(`part-${dialect.toLowerCase()}`, { dialect, policy });
      guard.start();
      const task = await fixture.task(await guard.nodeId());
      const submitted = await submittedFor(task.taskId);
      expect(arraysOf(submitted)).toEqual({ w: [2, 3, 4], b: [1.5] });
      expect(submitted.weight).toBe(10);
      expect(submitted.metrics).toEqual([]);
      const released = await eventually(async () => {
        const found = (await guard.audit()).find(({ event }) => event === 'answer-released');
        return found ?? Promise.reject(new Error('not yet'));
      });
      expect(released).toMatchObject({
        run: '77',
        kind: 'train',
        tensors: ['w', 'b'],
        metrics: [],
        withheld: ['seen'],
      });
    },
  );

  it('is the same node whichever SuperNode it is, whenever it starts', async () => {
    const guard = await newGuard('same');
    const first = guard.start();
    const nodeId = await guard.nodeId();
    const task = await fixture.task(nodeId);
    await submittedFor(task.taskId);
    await first.end();
    guard.said.length = 0;
    guard.start();
    expect(await guard.nodeId()).toBe(nodeId);
    const next = await fixture.task(nodeId);
    await submittedFor(next.taskId);
    const keys = guard.supernodes.map(({ node }) => node.key.publicKeyPem.toString());
    expect(new Set(keys).size).toBe(2);
    expect(new Set(guard.supernodes.map(({ node }) => node.nodeId))).toEqual(new Set([nodeId]));
  });

  it('may be started by somebody else, and another one follows when it has taken leave', async () => {
    const guard = await newGuard('listens', { listens: true });
    const started = guard.start();
    const nodeId = await guard.nodeId();
    const at = await guard.listensAt();
    const first = new WorkingNode(at, 'A', adds(1, 10));
    expect(await first.start()).toBe(nodeId);
    expect(arraysOf(await submittedFor((await fixture.task(nodeId)).taskId)).b).toEqual([1.5]);

    const second = new WorkingNode(at, 'B', adds(2, 10));
    await expect(second.start()).rejects.toThrow(/still there/);
    await first.leave();
    expect(await second.start()).toBe(nodeId);
    expect(arraysOf(await submittedFor((await fixture.task(nodeId)).taskId)).b).toEqual([2.5]);
    await second.kill();
    expect(guard.supernodes).toEqual([]);
    await started.end();
    expect(await started.ended).toBe(0);
  });

  it('keeps the words of an app that fails, and tells the server that it failed', async () => {
    const words = 'row 17 of patients.csv: Ada L.';
    const app: App = async (offer, _received, node) => {
      await node.push(node.failure(offer, 6, words));
      return null;
    };
    const guard = await newGuard('fails', { app });
    guard.start();
    const task = await fixture.task(await guard.nodeId());
    const failed = await failedFor(task.taskId);
    expect(failed.code).toBe(6);
    expect(failed.reason).not.toMatch(/patients|Ada/);
    expect(JSON.stringify(await guard.audit())).not.toMatch(/patients|Ada/);
  });
});

describe('what the policy does not allow', () => {
  it.each([
    ['masks', `${open}require-masking: true\n`, 'require-masking'],
    ['apps', 'apps: [other/app]\n', 'apps'],
    ['hashes', `${open}app-hashes: [${'e'.repeat(64)}]\n`, 'app-hashes'],
    ['runs', `${open}runs: ["1"]\n`, 'runs'],
    ['kinds', `${open}kinds: [evaluate]\n`, 'kinds'],
    ['tensors', `${open}tensors: [w]\n`, 'tensors'],
    ['values', `${open}tensors: [b, { name: w, min: 0, max: 3.5 }]\n`, 'tensors'],
    ['weight', `${open}weight: { max: 9 }\n`, 'weight'],
    ['size', `${open}limits: { update-mib: 0.0001 }\n`, 'limits.update-mib'],
  ])('%s: is refused, with the rule for the operator and for the owner', async (name, policy, rule) => {
    const guard = await newGuard(`refuses-${name}`, { policy });
    guard.start();
    const task = await fixture.task(await guard.nodeId());
    const failed = await failedFor(task.taskId);
    expect(failed.reason).toContain(`(policy: ${rule})`);
    expect(failed.reason).toContain("data owner's guard refuses");
    const lines = await guard.audit();
    expect(lines).toContainEqual(expect.objectContaining({ event: expect.stringMatching(/-refused$/), rule }));
    expect(aggregator.submitted.some((one) => one.task?.taskId === task.taskId)).toBe(false);
    expect(guard.said.some((line) => line.includes(`(policy: ${rule})`))).toBe(true);
  });

  it('a tensor that is not of the form of the model’s, in which other things could hide', async () => {
    const wide: App = () => ({
      arrays: new Map([
        ['w', npyOf([1, 2, 3, 4, 5, 6])],
        ['b', npyOf([1])],
      ]),
      metrics: [{ key: 'num-examples', value: { kind: 'integer', value: 3n } }],
    });
    const guard = await newGuard('smuggles', { app: wide });
    guard.start();
    const task = await fixture.task(await guard.nodeId());
    expect((await failedFor(task.taskId)).reason).toMatch(/tensor "w" is .* \(policy: tensors\)/);
  });

  it('an app that nobody trusted signed never reaches the SuperNode', async () => {
    const entities = join(folder.path, 'entities.yaml');
    const key = Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), Buffer.alloc(32, 7)]);
    await writeFile(entities, `key-1: "ssh-ed25519 ${key.toString('base64')}"\n`);
    const guard = await newGuard('unsigned', {
      policy: `${open}require-signed-app: true\ntrusted-entities: ${entities}\n`,
      app: () => Promise.reject(new Error('it ran')),
    });
    guard.start();
    const task = await fixture.task(await guard.nodeId());
    expect((await failedFor(task.taskId)).reason).toContain('(policy: require-signed-app)');
  });

  it('the same app does, once somebody trusted has signed this very bundle', async () => {
    const board = generateKeyPairSync('ed25519').privateKey;
    const entities = join(folder.path, 'board.yaml');
    await writeFile(entities, `board: "${ed25519Line(board)}"\n`);
    const guard = await newGuard('signed', {
      policy: `${open}require-signed-app: true\ntrusted-entities: ${entities}\n`,
    });
    guard.start();
    const nodeId = await guard.nodeId();
    const unsigned = await fixture.task(nodeId);
    expect((await failedFor(unsigned.taskId)).reason).toContain('(policy: require-signed-app)');
    const another = signApp(Buffer.from('PK another bundle'), board, 1_800_000_000);
    await sign(aggregator.appHash, 'board', another.verification);
    const wrong = await fixture.task(nodeId);
    expect((await failedFor(wrong.taskId)).reason).toContain('(policy: require-signed-app)');
    await sign(aggregator.appHash, 'board', signApp(aggregator.fab, board, 1_800_000_000).verification);
    await submittedFor((await fixture.task(nodeId)).taskId);
    expect((await guard.audit()).findLast(({ event }) => event === 'offer-allowed')).toMatchObject({
      signedBy: ['board'],
    });
  });

  it('is explained from the files alone, also while the guard runs', async () => {
    const guard = await newGuard('explains', { policy: `${open}kinds: [evaluate]\n` });
    guard.start();
    const task = await fixture.task(await guard.nodeId());
    await failedFor(task.taskId);
    const files = { state: guard.state, auditFile: join(guard.state, 'audit.jsonl'), now: Date.now(), canMask: false };
    const { run, tasks, history } = explainRun(files, loadPolicy(guard.policyFile), 77n);
    expect(run).toMatchObject({ appId: 'aegis/app', appHash: aggregator.appHash });
    const inTheClear = tasks.filter(({ masked }) => !masked);
    expect(Object.fromEntries(inTheClear.map(({ kind, decision }) => [kind, decision.allowed]))).toEqual({
      train: false,
      evaluate: true,
      'initial-model': false,
    });
    expect(history).toContainEqual(expect.objectContaining({ task: task.taskId, rule: 'kinds' }));
  });

  it('a run whose app changes under way is refused from then on', async () => {
    const guard = await newGuard('changes');
    guard.start();
    const nodeId = await guard.nodeId();
    const run = { ...aggregator.addRun(78n) };
    await submittedFor((await fixture.task(nodeId, { runId: 78n })).taskId);
    await guards[0]?.end();
    aggregator.runs.set(78n, { ...run, appHash: '1'.repeat(64) });
    guard.said.length = 0;
    guard.start();
    await guard.nodeId();
    const task = await fixture.task(nodeId, { runId: 78n });
    expect((await failedFor(task.taskId)).reason).toContain('(policy: apps)');
  });
});

describe('local noise', () => {
  it('clips what the training changed, and noises it before it leaves', async () => {
    const policy = `${open}local-noise: { clip: 1, sigma: 1.0e-6 }\n`;
    const guard = await newGuard('noises', { policy });
    guard.start();
    const task = await fixture.task(await guard.nodeId());
    const { w = [], b = [] } = arraysOf(await submittedFor(task.taskId));
    // four values that change by 1 each have a norm of 2: half of each change is left, and the noise
    for (const [index, value] of [1.5, 2.5, 3.5].entries()) expect(w[index]).toBeCloseTo(value, 4);
    expect(b[0]).toBeCloseTo(1, 4);
    expect([...w, ...b]).not.toEqual([1.5, 2.5, 3.5, 1]);
    const noised = (await guard.audit()).find(({ event }) => event === 'update-noised');
    expect(noised).toMatchObject({ clip: 1, norm: 2, clipped: true });
  });

  it('of a budget is large enough to hide the update', async () => {
    const policy = `${open}local-noise: { clip: 1, epsilon: 0.01, delta: 1.0e-6 }\n`;
    const guard = await newGuard('hides', { policy });
    guard.start();
    const task = await fixture.task(await guard.nodeId());
    const { w = [], b = [] } = arraysOf(await submittedFor(task.taskId));
    // σ is about 600: that all four stay within 5 has a probability of 10^-9
    expect(Math.max(...[...w, ...b].map(Math.abs))).toBeGreaterThan(5);
  });

  it('lets nothing leave that it cannot protect', async () => {
    const policy = `${open}kinds: [train, initial-model]\nlocal-noise: { clip: 1, sigma: 1 }\n`;
    const infinite: App = (_offer, { arrays }) => ({
      arrays: new Map([...arrays].map(([name, npy]) => [name, npyOf(floatsOf(npy).map(() => Number.NaN))])),
      metrics: [{ key: 'num-examples', value: { kind: 'integer', value: 3n } }],
    });
    const guard = await newGuard('unprotected', { policy, app: infinite });
    guard.start();
    const task = await fixture.task(await guard.nodeId());
    expect((await failedFor(task.taskId)).reason).toMatch(/VALUE_NOT_FINITE \(tensor "w"\).*\(policy: local-noise\)/);
  });
});

describe('whatever ends at whatever moment', () => {
  const wide = (seed: number) =>
    modelOf({ w: Float32Array.from({ length: 1_500_000 }, (_none, index) => seed + (index % 97)) });

  it('a guard that ends in the middle of an upload sends the same answer on, once, without asking the SuperNode again', async () => {
    let asked = 0;
    const counting: App = (...args) => {
      asked += 1;
      return adds(asked, 10)(...args);
    };
    const guard = await newGuard('resumes', { app: counting });
    const first = guard.start();
    const nodeId = await guard.nodeId();
    let stored = 0;
    aggregator.before = async (method) => {
      if (method !== 'appendPart') return;
      stored += 1;
      if (stored > 2) await systemClock.sleep(60_000, stopped.signal).catch(() => {});
    };
    const stopped = new AbortController();
    const task = await fixture.task(nodeId, {}, wide(0));
    await eventually(() => expect(stored).toBeGreaterThan(2));
    await first.end();
    stopped.abort();
    aggregator.before = () => {};
    const before = new Set(aggregator.appended);
    guard.start();
    const submitted = await submittedFor(task.taskId);
    expect(asked).toBe(1);
    expect(arraysOf(submitted).w?.slice(0, 3)).toEqual([1, 2, 3]);
    expect(before.size).toBeGreaterThan(0);
    expect(aggregator.submitted.filter((one) => one.task?.taskId === task.taskId)).toHaveLength(1);
  });

  it('a gateway that ends in the middle of an upload is come back to', async () => {
    const guard = await newGuard('comes-back');
    guard.start();
    const nodeId = await guard.nodeId();
    let stored = 0;
    aggregator.before = async (method) => {
      if (method === 'appendPart') stored += 1;
    };
    const task = await fixture.task(nodeId, {}, wide(1_000));
    await eventually(() => expect(stored).toBeGreaterThan(0));
    const { port } = gateway.address;
    await gateway.close();
    gateway = await openGateway(`127.0.0.1:${port}`);
    await submittedFor(task.taskId);
    expect(aggregator.submitted.filter((one) => one.task?.taskId === task.taskId)).toHaveLength(1);
  });

  it('two guards never work in one folder', async () => {
    const guard = await newGuard('locked');
    guard.start();
    await guard.nodeId();
    await expect(guard.start().ended).rejects.toMatchObject({ code: 'GUARD_LOCKED' });
  });

  it('a guard that the server refuses ends with the reason', async () => {
    const guard = await newGuard('eve', { certificate: revoked });
    await expect(guard.start().ended).rejects.toMatchObject({ code: 'CERTIFICATE_REVOKED' });
  });
});
