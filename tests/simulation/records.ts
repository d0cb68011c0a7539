import type { ConfigEntry } from '@aegis/flower-wire';
import type { Records } from '../../services/gateway/src/testing/flower-reply.ts';
import { npyOf } from '../../services/gateway/src/testing/npy.ts';
import type { Manner } from './operations.ts';

/** What a node computed, in names and numbers. */
export interface Update {
  readonly arrays: Map<string, number[]>;
  readonly weight: number;
}

/** What a node of a legacy app begins with. */
export const firstModel: readonly (readonly [string, number[]])[] = [
  ['0', [0, 0.5, -1]],
  ['1', [2]],
];

export const examples = (weight: number, key = 'num-examples'): ConfigEntry => ({
  key,
  value: { kind: 'integer', value: BigInt(weight) },
});

/** A number of the node's own, so that a mean with equal weights tells who was counted. */
const maskOf = (index: number): ConfigEntry => ({ key: 'mask', value: { kind: 'real', value: 2 ** index } });

/** The answer of a Message-API app. */
export function messageRecords(kind: string, index: number, manner: Manner, { arrays, weight }: Update): Records {
  const metrics = { metrics: [examples(weight), maskOf(index)] };
  return kind === 'evaluate' ? { metrics } : { arrays: { arrays: npysOf(arrays, manner) }, metrics };
}

/** The answer of a NumPyClient. */
export function legacyRecords(kind: string, index: number, manner: Manner, { arrays, weight }: Update): Records {
  const status = [examples(0, 'code'), { key: 'message', value: { kind: 'text' as const, value: '' } }];
  const num_examples = [examples(weight, 'num_examples')];
  switch (kind) {
    case 'initial-model':
      return {
        // whatever shape a first model has is right
        arrays: { 'getparametersres.parameters': npysOf(arrays, 'honest') },
        configs: { 'getparametersres.status': status },
      };
    case 'evaluate':
      return {
        configs: { 'evaluateres.status': status, 'evaluateres.metrics': [maskOf(index)] },
        metrics: {
          'evaluateres.loss': [{ key: 'loss', value: { kind: 'real', value: 1 } }],
          'evaluateres.num_examples': num_examples,
        },
      };
    default:
      return {
        arrays: { 'fitres.parameters': npysOf(arrays, manner) },
        configs: { 'fitres.status': status, 'fitres.metrics': [maskOf(index)] },
        metrics: { 'fitres.num_examples': num_examples },
      };
  }
}

/** Three values are a vector, one is a scalar, unless the shape is to be wrong. */
const npysOf = (arrays: ReadonlyMap<string, number[]>, manner: Manner): Map<string, Buffer> =>
  new Map(
    [...arrays].map(([name, values]) => {
      const shape = values.length === 1 ? [] : [values.length];
      return [name, npyOf(values, manner === 'shape' ? [1, ...shape] : shape)];
    }),
  );
