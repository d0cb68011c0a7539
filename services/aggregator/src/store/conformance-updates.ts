// What nodes send, for the suites that every store passes.
import { createHash } from 'node:crypto';
import type { AcceptedAnswer } from '../domain/answer.ts';
import type { ModelInfo } from '../domain/model.ts';
import { real } from '../domain/scalar.ts';
import type { IntakeRoom, RoundIntake, Stores } from './contract.ts';
import { type NpyArray, readNpy, writeNpy, writeNpz } from './memory/npy.ts';

export const f4 = (shape: number[], values: number[]): NpyArray => ({ descr: '<f4', shape, values });
export const i8 = (shape: number[], values: number[]): NpyArray => ({ descr: '<i8', shape, values });
export const npz = (arrays: Record<string, NpyArray>) =>
  writeNpz(Object.entries(arrays).map(([name, array]) => ({ name, npy: writeNpy(array) })));
export const room: IntakeRoom = { runId: 9n, round: 1, kind: 'train', attempt: 1 };
export const hashOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

export async function sendUpdate(
  intake: RoundIntake,
  node: number,
  arrays: Record<string, NpyArray>,
  weight = node,
): Promise<AcceptedAnswer> {
  const tensors = [];
  for (const [name, array] of Object.entries(arrays)) {
    const npy = writeNpy(array);
    // two parts, each behind a byte of envelope
    const slices = [];
    for (const piece of [npy.subarray(0, 70), npy.subarray(70)]) {
      const content = Buffer.concat([Buffer.from([node]), piece]);
      await intake.append(hashOf(content), content);
      slices.push({ part: hashOf(content), offset: 1, length: piece.length });
    }
    tensors.push({ name, slices });
  }
  return {
    taskId: `T${node}`,
    nodeId: BigInt(node),
    digest: '',
    tensors,
    metrics: [{ key: 'loss', value: real(node) }],
    weight,
    runtimeSeconds: 1,
    norm: 0,
  };
}

export const arraysOf = async ({ models }: Stores, { modelId, tensors }: ModelInfo) =>
  Object.fromEntries(
    await Promise.all(
      tensors.map(
        async ({ name, offset, length }) => [name, readNpy(await models.read(modelId, offset, length)).values] as const,
      ),
    ),
  );
