// A masked round over a real gateway and the real secagg service: who sees what, message by message.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Masking, SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { inProcessChannel, type LocalService, noTelemetry, silentLogger } from '@aegis/service-kit';
import { type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../../services/gateway/src/testing/gateway-fixture.ts';
import { NativeNode, type NativeStream, partIdOf } from '../../services/gateway/src/testing/native-node.ts';
import { ScriptedAggregator } from '../../services/gateway/src/testing/scripted-aggregator.ts';
import { startSecagg } from '../../services/secagg/src/index.ts';
import { Federation, openSum, planOf, TestNode } from '../../services/secagg/src/testing/cohort.ts';
import { callersOf } from '../../services/secagg/src/testing/service.ts';
import { recorded, type Said } from './recorded.ts';

const COUNT = 4;
const nats = withNats();
const aggregator = new ScriptedAggregator();
let folder: TemporaryFolder;
let fixture: GatewayFixture;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  folder = await temporaryFolder('masked');
  fixture = await GatewayFixture.open(nats(), aggregator);
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await fixture.close();
  await folder.remove();
});

describe('a masked round', () => {
  it('goes through the gateway, and neither service sees what is the other one’s', async () => {
    const federation = await Federation.create();
    await writeFile(join(folder.path, 'root.pem'), federation.rootPem);
    const bus = await nats().connect();
    const secagg = await startSecagg(
      { 'federation-root': join(folder.path, 'root.pem'), threads: 1 },
      { bus, telemetry: noTelemetry, log: silentLogger },
    );
    closing.push(() => secagg.drain());
    const said: Said[] = [];
    const [relay, rounds] = secagg.services as [LocalService, LocalService];
    const gateway = await fixture.gateway({ secagg: recorded(relay, said) });
    const callers = callersOf(inProcessChannel([relay, rounds], { log: silentLogger }));

    const plan = await planOf(COUNT, { dropouts: 0.25, run: '77' });
    const { terms } = plan;
    const masking: Masking = {
      ...{ cohort: COUNT, dropouts: 0.25, colluders: 0, plan: Buffer.from(terms.plan, 'hex'), round: 1n },
      ...{ degree: terms.degree, threshold: terms.threshold, minSurvivors: terms.minSurvivors, bits: terms.bits },
      ...{ length: BigInt(terms.length), stageSeconds: 30, grid: undefined },
    };
    const nodes = await Promise.all(
      Array.from({ length: COUNT }, async (_, at) => {
        const client = new NativeNode(gateway.target, undefined, { canMask: true });
        closing.push(() => client.close());
        const { stream, nodeId } = await client.connect();
        const node = new TestNode(String(nodeId), at + 1, await federation.identity(`node-${at}`), plan, Date.now());
        return { node, stream, nodeId };
      }),
    );
    const taskIds = nodes.map(() => randomBytes(13).toString('hex').toUpperCase());
    for (const [at, { node }] of nodes.entries()) node.taskId = taskIds[at] as string;
    await callers.open(
      plan,
      nodes.map(({ node }) => node),
    );
    for (const { node, nodeId } of nodes) await fixture.task(nodeId, { masking, taskId: node.taskId, runId: 77n });

    const asked = async (stream: NativeStream, node: TestNode, stage: SecaggStage, answer: Buffer): Promise<Buffer> => {
      stream.say({ $case: 'stageAnswer', value: { taskId: node.taskId, stage, answer } });
      return (await stream.next('stageRequest')).request;
    };
    const vectors = await Promise.all(
      nodes.map(async ({ node, stream }) => {
        await stream.next('taskOffer');
        const roster = await asked(stream, node, SecaggStage.ADVERTISE, node.advert());
        const shares = await node.share(roster, federation.openCertificate);
        return node.mask(await asked(stream, node, SecaggStage.SHARE, shares));
      }),
    );
    // The last one's vector never comes.
    const delivering = nodes.slice(0, -1);
    for (const [at, { node, stream }] of delivering.entries()) {
      const vector = vectors[at] as Buffer;
      const partId = partIdOf(vector);
      const { taskId } = node;
      stream.say({ $case: 'beginUpdate', value: { taskId, partIds: [partId] } });
      await stream.next('missingParts');
      stream.say({ $case: 'part', value: { taskId, partId } }, vector);
      await stream.next('partStored');
      const masked = [{ partId, offset: 0n, length: BigInt(vector.length) }];
      stream.say({ $case: 'submit', value: { taskId, tensors: [], metrics: [], runtimeSeconds: 1, masked } });
      expect((await stream.next('verdict')).accepted).toBe(true);
    }
    expect((await callers.awaitSharing(plan)).participants).toHaveLength(COUNT);
    const unmasked = callers.unmask(
      plan,
      delivering.map(({ node }) => node.id),
    );
    await Promise.all(
      delivering.map(async ({ node, stream }) => {
        const list = await asked(stream, node, SecaggStage.MASK, Buffer.alloc(0));
        const confirmations = await asked(stream, node, SecaggStage.CONFIRM, await node.confirm(list));
        const last = await asked(stream, node, SecaggStage.UNMASK, await node.unmask(confirmations));
        expect(last).toHaveLength(0);
      }),
    );
    const { mask } = await unmasked;
    expect(await openSum(plan, vectors.slice(0, -1), mask)).toBeCloseTo(1 + 2 + 3, 2);
    await callers.end(plan);

    // The service of secrets never met a vector.
    const relayed = said.map(({ request, response }) => request + response);
    for (const vector of vectors) {
      const piece = vector.subarray(0, 16).toString('latin1');
      const hex = vector.subarray(0, 16).toString('hex');
      for (const message of relayed) expect(message.includes(piece) || message.includes(hex)).toBe(false);
    }
    // The service of vectors never met a key, a share or a signature.
    const secrets = nodes.flatMap(({ node }) =>
      [...node.said.values()].flatMap((said) => said.toString().match(/[0-9a-f]{64,}/g) ?? []),
    );
    const models = new Set([plan.modelId]);
    const handedIn = JSON.stringify(
      [aggregator.submitted, [...aggregator.parts.values()].map((part) => part.toString('latin1'))],
      (_key, value) => (typeof value === 'bigint' ? value.toString() : value),
    );
    expect(secrets.length).toBeGreaterThan(COUNT * 5);
    for (const secret of secrets) if (!models.has(secret)) expect(handedIn.includes(secret)).toBe(false);
  });
});

describe('the contracts', () => {
  const bytesFields = (name: string): string[] =>
    [
      ...readFileSync(join(import.meta.dirname, '../../proto/aegis', name), 'utf8').matchAll(
        /^\s+(?:repeated )?bytes (\w+) =/gm,
      ),
    ].map(([, field]) => field as string);

  it('have no room for a vector where shares go, nor for shares where vectors go', () => {
    // Stage answers and requests, read by strict forms; and the one total mask.
    expect(bytesFields('secagg/v1/secagg.proto')).toEqual(['answer', 'request', 'content']);
    const aggregator = readFileSync(
      join(import.meta.dirname, '../../proto/aegis/aggregator/v1/aggregator.proto'),
      'utf8',
    );
    // Runs under Flower's own SecAgg+ are another matter, and say so: what is theirs has its name (docs/decisions/0004).
    const ours = aggregator.replaceAll(/^message Flower\w+ \{\n[\s\S]*?^\}$/gm, '').replaceAll(/^.*Flower.*$/gm, '');
    expect(aggregator.length - ours.length).toBeGreaterThan(400);
    expect(ours).toContain('message SubmitUpdateRequest');
    expect(ours).not.toMatch(/secagg|advert|confirmation|sealed/i);
  });
});
