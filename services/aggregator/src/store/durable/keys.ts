import type { DataKey, KeyFile } from '@aegis/core-native';
import { keepFirst } from '@aegis/service-kit';
import { inCore } from './core-errors.ts';

/**
 * The data key whose wrapped form lies in `file`, made on first use. `context` says what it is for and is bound to it: a wrapped key
 * moved elsewhere does not open. Removing the file makes what it sealed unreadable for good.
 */
export async function dataKeyAt(file: string, context: string, keys: KeyFile): Promise<DataKey> {
  const wrapped = await keepFirst(file, () => keys.generate(context).wrapped);
  return inCore(() => keys.unwrap(wrapped, context));
}
