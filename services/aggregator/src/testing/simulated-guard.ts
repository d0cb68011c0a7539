// Nodes behind guards that mask with the core, and do their part of every stage: for tests.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { IntakeService, type SubmitUpdateResponse } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { npyElements } from '@aegis/core-native';
import { Grid, SecaggClient, SigningKey } from '@aegis/core-native/secagg';
import { AegisError } from '@aegis/errors';
import type { ServiceChannel } from '@aegis/service-kit';
import { coreGrid, termsOf } from '../domain/masking.ts';
import type { Task } from '../peers/contract.ts';
import { writeNpy } from '../store/memory/npy.ts';
import { NOW, type ScriptedSecagg } from './scripted-secagg.ts';
import { type Arrays, readModelArrays } from './simulated-node.ts';

export interface MaskedReply {
  readonly arrays?: Arrays;
  /** In the order of the plan. */
  readonly metrics?: readonly number[];
  readonly examples?: number;
}

/** How far a node goes. */
export type Conduct = 'silent' | 'advertises' | 'shares' | 'delivers' | 'confirms' | 'honest';

const floors = { cohort: 3, survivors: 2, colluders: 0 };
const keys = new Map<bigint, SigningKey>();
const keyOf = (node: bigint): SigningKey => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = keys.get(node) ?? SigningKey.fromPkcs8(privateKey.export({ type: 'pkcs8', format: 'der' }));
  keys.set(node, key);
  return key;
};

export class SimulatedGuard {
  readonly task: Task;
  verdict: SubmitUpdateResponse | undefined;
  private readonly secagg: ScriptedSecagg;
  private readonly channel: () => ServiceChannel;
  private readonly ending: () => Promise<never>;

  /** `channel`: of the aggregator that is alive; `ending` rejects when that dies. */
  constructor(
    task: Task,
    secagg: ScriptedSecagg,
    channel: () => ServiceChannel,
    ending: () => Promise<never> = () => new Promise(() => {}),
  ) {
    this.task = task;
    this.secagg = secagg;
    this.channel = channel;
    this.ending = ending;
  }

  async play(reply: (task: Task, model: Arrays) => MaskedReply, conduct: Conduct): Promise<void> {
    const { secagg, task } = this;
    const { nodeId: node, runId, masking } = task;
    if (masking === undefined || conduct === 'silent') return;
    const ref = { runId, round: masking.round };
    const key = keyOf(node);
    const client = SecaggClient.advertise(String(node), termsOf(runId, masking), floors, key, 2 * NOW);
    const advert = client.advert;
    if (advert === undefined) throw new Error('a fresh client has an advert');
    const roster = secagg.advertise(ref, node, { advert, subject: `CN=${node}`, signingKey: key.publicPem });
    if (conduct === 'advertises') return;
    const delivery = await secagg.share(ref, node, await client.shareKeys(await roster, NOW));
    if (conduct === 'shares') return;
    this.verdict = await this.deliver(await this.vectorOf(client, reply, delivery));
    if (!this.verdict.accepted || conduct === 'delivers') return;
    const list = await secagg.survivors(ref);
    const request = await secagg.confirm(ref, node, await client.confirmSurvivors(list, key));
    if (conduct === 'confirms') return;
    secagg.hand(ref, node, await client.unmask(request));
  }

  /** In two parts, cut where no element ends. */
  deliver(packed: Buffer): Promise<SubmitUpdateResponse> {
    return this.patiently(() => this.submit(packed));
  }

  /** Asked again until an aggregator answers. */
  private async patiently<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await Promise.race([work(), this.ending()]);
      } catch (error) {
        if (AegisError.from(error).entry.kind !== 'unavailable') throw error;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  private async submit(packed: Buffer): Promise<SubmitUpdateResponse> {
    const intake = this.channel().client(IntakeService);
    const { taskId, runId, nodeId } = this.task;
    const task = { taskId, runId, nodeId };
    const masked = [];
    const middle = Math.floor(packed.length / 3) + 1;
    for (const piece of [packed.subarray(0, middle), packed.subarray(middle)]) {
      const content = Buffer.concat([Buffer.from([7]), piece]);
      const partId = createHash('sha256').update(content).digest('hex');
      const { partIds } = await intake.missingParts({ task, partIds: [partId] });
      if (partIds.length > 0) await intake.appendPart({ task, partId, content });
      masked.push({ partId, offset: 1n, length: BigInt(piece.length) });
    }
    return intake.submitUpdate({
      task,
      tensors: [],
      metrics: [],
      weight: undefined,
      runtimeSeconds: 0.1,
      masked,
      flower: undefined,
    });
  }

  private async vectorOf(
    client: SecaggClient,
    reply: (task: Task, model: Arrays) => MaskedReply,
    delivery: Awaited<ReturnType<ScriptedSecagg['share']>>,
  ): Promise<Buffer> {
    const { task } = this;
    const { masking, modelId } = task;
    if (masking === undefined || modelId === null) throw new Error('it is a masked task');
    const described = await this.patiently(() => this.channel().client(IntakeService).describeModel({ modelId }));
    const tensors = described.tensors.map(({ name, dtype, shape, offset, length }) => ({
      name,
      dtype,
      shape: shape.map(Number),
      offset: Number(offset),
      length: Number(length),
    }));
    const { specs, options } = coreGrid(masking.grid, task.kind, { tensors });
    const grid = Grid.create(specs, options);
    const model = await this.patiently(() => readModelArrays(this.channel(), modelId));
    const { arrays = model, metrics = [], examples = 1 } = reply(task, model);
    const elements = (from: Arrays) =>
      Promise.all(specs.map((spec) => npyElements(writeNpy(from[spec.name] as never), spec)));
    const { maxExamples } = masking.grid;
    return client.maskInput({ ...delivery, model: modelId }, grid, {
      tensors: await elements(arrays),
      start: await elements(model),
      metrics: [...metrics],
      weight: maxExamples === 0 ? 1 : grid.weightOf(examples, maxExamples),
    });
  }
}
