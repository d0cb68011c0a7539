import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { RelayService } from '@aegis/contracts/aegis/secagg/v1/secagg';
import { loadPolicy, runGuard } from '@aegis/guard';
import { createCrl, createRoot, issueCertificate, serviceOf, silentLogger } from '@aegis/service-kit';
import { eventually, type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { STAGES } from '../../agents/guard/src/domain/masking.ts';
import type { ConfigEntry } from '../../agents/guard/src/domain/task.ts';
import { Federation } from '../../agents/guard/src/testing/federation.ts';
import { maskedTask, realModel } from '../../agents/guard/src/testing/masked-guard.ts';
import { MaskedServer } from '../../agents/guard/src/testing/masked-server.ts';
import { floatsOf } from '../../agents/guard/src/testing/npy.ts';
import { GatewayFixture } from '../../services/gateway/src/testing/gateway-fixture.ts';
import { ScriptedAggregator } from '../../services/gateway/src/testing/scripted-aggregator.ts';
import { adds, WorkingNode } from './nodes.ts';

// A guard before a real gateway, in masked rounds with honest peers on the core's own state machines.

const nats = withNats();
const now = Date.now();
const root = await createRoot('hospitals', 3653, now);
const federation = await Federation.found();
const model = await realModel({ w: [1, 2, 3], b: [0.5] });
const signing = await federation.signing('ada');
const peers = new Map(
  await Promise.all(['1', '2', '3', '4'].map(async (id) => [id, await federation.signing(`peer-${id}`)] as const)),
);
const aggregator = new ScriptedAggregator();
let server: MaskedServer;
let folder: TemporaryFolder;
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;
const ending: (() => Promise<unknown>)[] = [];

const relay = serviceOf(RelayService, {
  exchange: async ({ taskId, stage, answer }) => {
    const said = await server.stage(taskId, STAGES[stage - 1] ?? 'advertise', answer.toString());
    const none = { stage: SecaggStage.UNSPECIFIED, request: Buffer.alloc(0), nothingYet: false };
    if (said === null) return { ...none, done: true };
    const next = (STAGES.indexOf(said.stage) + 1) as SecaggStage;
    return { ...none, stage: next, request: Buffer.from(said.request), done: false };
  },
});

beforeAll(async () => {
  folder = await temporaryFolder('guard-masked');
  const clientFiles = { 'client-ca': join(folder.path, 'root.pem'), 'client-crl': join(folder.path, 'crl.pem') };
  await writeFile(clientFiles['client-ca'], root.certPem);
  await writeFile(clientFiles['client-crl'], await createCrl(root, [], 30, now));
  fixture = await GatewayFixture.open(nats(), aggregator, { tls: true });
  const config = { 'client-certificates': 'require', enrolment: 'registered' };
  gateway = await fixture.gateway({ config, tls: clientFiles, secagg: relay });
});
afterEach(async () => {
  for (const end of ending.splice(0)) await end();
});
afterAll(async () => {
  await fixture.close();
  await folder.remove();
});

const startGuard = async (): Promise<bigint> => {
  const certificate = await issueCertificate(root, { kind: 'guard', name: 'ada', days: 9 }, now);
  await mkdir(join(folder.path, 'ada'), { recursive: true });
  const policyFile = join(folder.path, 'policy.yaml');
  await writeFile(policyFile, 'apps: ["*"]\nmetrics: [{ name: seen, min: 0, max: 10 }]\nrequire-masking: true\n');
  const stopping = new AbortController();
  const { host, port, ca = Buffer.alloc(0) } = gateway.target;
  const connected = Promise.withResolvers<bigint>();
  const ended = runGuard({
    ...{ address: `${host}:${port}`, serverName: 'localhost', state: join(folder.path, 'ada'), policyFile },
    ...{ loaded: loadPolicy(policyFile), command: ['flower-supernode'], env: {}, log: silentLogger, signing },
    say: (line) => line.includes('as node ') && connected.resolve(BigInt(line.split('as node ')[1] ?? 0)),
    tls: { ca, cert: Buffer.from(certificate.certPem), key: Buffer.from(certificate.keyPem) },
    signal: stopping.signal,
    launch: (_command, args) => {
      const [at = ''] = args.slice(args.indexOf('--superlink') + 1);
      const node = new WorkingNode({ host: '127.0.0.1', port: Number(at.split(':')[1]) }, 'A', adds(0.5, 10));
      const { promise, resolve } = Promise.withResolvers<{ code: number | null }>();
      void eventually(() => node.start()).catch(() => {});
      return { ended: promise, end: () => node.kill().then(() => resolve({ code: 0 })) };
    },
  });
  ended.catch(() => {});
  ending.push(async () => {
    stopping.abort(new Error('the test is over'));
    return ended.catch(() => {});
  });
  return connected.promise;
};

it('a SuperNode behind a guard is in a sum with others, and the server sees nothing else of it', async () => {
  const nodeId = await startGuard();
  server = new MaskedServer(peers, model.bytes, nodeId);
  server.peersGive = { tensors: [[0, 0, 0], [0]], metrics: [0] };
  const metrics = [{ name: 'seen', low: 0, high: 10 }];
  const config: ConfigEntry[] = [{ key: 'server-round', value: { kind: 'integer', value: 1n } }];
  const grid = {
    clip: 4,
    ownClips: {},
    metrics,
    valueBits: 20,
    weightMax: 1,
    maxExamples: null,
    normClip: null,
    noiseSigma: null,
  };
  const overrides: ConfigEntry[] = [{ key: 'lr', value: { kind: 'real', value: 0.5 } }];
  const plain = maskedTask(model, { runId: 77n, config }, { grid }, { appHash: aggregator.appHash, overrides });
  const { masking } = plain;
  if (masking === null) throw new Error('the task is masked');
  const given = { modelId: model.info.sha256, tensors: model.tensors };
  const wire = {
    ...{ ...masking, plan: Buffer.from(masking.plan, 'hex'), length: BigInt(masking.length) },
    ...{ dropouts: 0.2, colluders: 0, stageSeconds: 60 },
    grid: { ...grid, weightMax: 1n, maxExamples: 0, normClip: 0, noiseSigma: 0 },
  };
  const taskId = '01MASKED';
  server.open({ ...plain, taskId });
  await fixture.task(nodeId, { taskId, masking: wire }, given);
  const sent = await eventually(
    () => aggregator.submitted.find(({ task }) => task?.taskId === taskId) ?? Promise.reject(new Error('not yet')),
  );
  expect(sent).toMatchObject({ tensors: [], metrics: [], weight: undefined });
  const vector = sent.masked.map(({ partId }) => aggregator.parts.get(partId) ?? Buffer.alloc(0));
  server.takeVector(Buffer.concat(vector));
  await eventually(() => server.opened.length === 1);
  const [sum] = server.opened;
  expect(sum?.survivors).toBe(5);
  expect(sum?.metric(0)).toBeCloseTo(0.5 / 5, 4);
  const mean = floatsOf(sum?.tensor(0) ?? Buffer.alloc(0));
  for (const value of mean) expect(value).toBeCloseTo(0.1, 3);
});
