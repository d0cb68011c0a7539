// A node that does its task through the Intake service, as a gateway would speak for it: for tests.
import { createHash } from 'node:crypto';
import { IntakeService, type SubmitUpdateResponse } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import type { ServiceChannel } from '@aegis/service-kit';
import { writeEntries } from '../api/scalars.ts';
import type { ConfigEntry } from '../domain/scalar.ts';
import { type NpyArray, readNpy, writeNpy } from '../store/memory/npy.ts';

export interface NodeTask {
  readonly taskId: string;
  readonly runId: bigint;
  readonly nodeId: bigint;
  readonly modelId: string;
}

export type Arrays = Record<string, NpyArray>;

export interface Reply {
  readonly arrays?: Arrays;
  readonly metrics?: ConfigEntry[];
  readonly weight?: number;
}

export const f4 = (shape: number[], values: number[]): NpyArray => ({ descr: '<f4', shape, values });
export const i8 = (shape: number[], values: number[]): NpyArray => ({ descr: '<i8', shape, values });
export const b1 = (shape: number[], values: number[]): NpyArray => ({ descr: '|b1', shape, values });

export async function readModelArrays(channel: ServiceChannel, modelId: string): Promise<Arrays> {
  const intake = channel.client(IntakeService);
  const model = await intake.describeModel({ modelId });
  const { content } = await intake.readModel({ modelId, offset: 0n, length: model.bytes });
  return Object.fromEntries(
    model.tensors.map(({ name, offset, length }) => [
      name,
      readNpy(content.subarray(Number(offset), Number(offset + length))),
    ]),
  );
}

/** Parts first (in two slices, behind a byte of envelope, as Flower's chunks come), then the answer. */
export async function answer(
  channel: ServiceChannel,
  task: NodeTask,
  { arrays = {}, metrics = [], weight }: Reply,
): Promise<SubmitUpdateResponse> {
  const intake = channel.client(IntakeService);
  const tensors = [];
  for (const [name, array] of Object.entries(arrays)) {
    const npy = writeNpy(array);
    const middle = npy.length >> 1;
    const slices = [];
    for (const piece of [npy.subarray(0, middle), npy.subarray(middle)]) {
      const content = Buffer.concat([Buffer.from([7]), piece]);
      const partId = createHash('sha256').update(content).digest('hex');
      const { partIds } = await intake.missingParts({ task, partIds: [partId] });
      if (partIds.length > 0) await intake.appendPart({ task, partId, content });
      slices.push({ partId, offset: 1n, length: BigInt(piece.length) });
    }
    tensors.push({ name, slices });
  }
  return intake.submitUpdate({
    task,
    tensors,
    metrics: writeEntries(metrics) as never,
    weight,
    runtimeSeconds: 0.1,
    masked: [],
    flower: undefined,
  });
}
