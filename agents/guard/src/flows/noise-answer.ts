import { CoreError, sha256Hex } from '@aegis/core-native';
import type { Refusal } from '../domain/rules.ts';
import type { Task } from '../domain/task.ts';
import type { GivenAnswer } from './given-answer.ts';
import type { Guard } from './guard.ts';
import { readModel, readyModel } from './ready-model.ts';
import { lineOf } from './refuse-task.ts';

/**
 * The answer as the policy's local noise lets it leave: what the training changed, clipped and noised, in files of its own. Only one that is
 * written down afterwards ever leaves; a crash in between draws again, and nobody has seen the first. The forms of the tensors
 * have been compared with the model's before.
 */
export const noiseAnswer = async (guard: Guard, task: Task, given: GivenAnswer): Promise<GivenAnswer | Refusal> => {
  const { localNoise, parts: files, audit, policy } = guard;
  if (localNoise === null || task.kind === 'evaluate') return given;
  const { model } = task;
  if (model === null) return refuse('a first model is no change of another one, so nothing of it can be noised');
  await readyModel(guard, task);
  const named = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const trained = await Promise.all(
    given.tensors.map(async ({ name, slices }) => {
      const tensor = named.get(name);
      if (tensor === undefined) throw new Error('A tensor that is none of the model was let through.');
      const pieces = slices.map(({ file, offset, length }) => files.read(task.taskId, file, offset, length));
      return {
        ...{ name, dtype: tensor.dtype },
        came: await readModel(guard, model, tensor.offset, tensor.length),
        goes: Buffer.concat(await Promise.all(pieces)),
      };
    }),
  );
  try {
    const { tensors, norm, clipped } = await localNoise.apply(trained);
    const written = tensors.map(async (content, index) => {
      // Named by its content, so that no other draw is ever written over it.
      const [file, name] = [await sha256Hex([content]), given.tensors[index]?.name ?? ''];
      await files.write(task.taskId, file, content);
      return { name, slices: [{ file, offset: 0, length: content.byteLength }] };
    });
    const clip = policy.localNoise?.clip ?? 0;
    audit.write({ event: 'update-noised', ...lineOf(task), clip, sigma: localNoise.sigma, norm, clipped });
    return { ...given, tensors: await Promise.all(written) };
  } catch (error) {
    if (!(error instanceof CoreError)) throw error;
    const { tensor } = error.detail;
    return refuse(`the update cannot be noised: ${error.code}${tensor === undefined ? '' : ` (tensor "${tensor}")`}`);
  }
};

const refuse = (reason: string): Refusal => ({ allowed: false, rule: 'local-noise', reason });
