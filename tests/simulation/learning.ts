import type { Manner } from './operations.ts';
import type { Update } from './records.ts';

/** Adds something of its own to every weight: multiples of 1/8, so that sums of a few of them are exact. */
export function learn(kind: string, index: number, model: ReadonlyMap<string, number[]>, manner: Manner): Update {
  const arrays = new Map<string, number[]>();
  if (kind === 'evaluate') return { arrays, weight: manner === 'weight' ? -1 : 1 };
  const own = (index + 1) / 8 + (manner === 'other' ? 2 : 0);
  for (const [name, values] of model) {
    arrays.set(
      name,
      values.map((value, at) => Math.fround(value + own * (at + 1))),
    );
  }
  const names = [...arrays.keys()];
  if (manner === 'nan') arrays.get(names[0] ?? '')?.splice(0, 1, Number.NaN);
  if (manner === 'missing') arrays.delete(names.at(-1) ?? '');
  return { arrays, weight: manner === 'weight' ? -1 : index + 1 };
}
