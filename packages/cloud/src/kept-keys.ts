import type { DataKey } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { keepFirst, writeFileAtomic } from '@aegis/service-kit';
import type { KeyWrapper } from './key-wrapper.ts';
import { ObjectConflict, type Objects } from './objects.ts';

/**
 * The data key whose wrapped form lies in `file`, made on first use. `context` says what it is for and is bound to it: a wrapped key
 * moved elsewhere does not open. Removing the file makes what it sealed unreadable for good.
 */
export async function dataKeyAt(file: string, context: string, keys: KeyWrapper): Promise<DataKey> {
  const wrapped = await keepFirst(file, async () => (await keys.generate(context)).wrapped);
  const { key, renewed } = await keys.unwrap(wrapped, context);
  if (renewed !== null) await writeFileAtomic(file, renewed, 0o600);
  return key;
}

/** The same with an object in place of the file: whoever is first makes it for all. */
export async function dataKeyIn(objects: Objects, name: string, context: string, keys: KeyWrapper): Promise<DataKey> {
  for (;;) {
    const found = await objects.read(name);
    try {
      if (found === null) {
        await objects.write(name, (await keys.generate(context)).wrapped, null);
        continue;
      }
      const { key, renewed } = await keys.unwrap(found.content, context);
      if (renewed !== null) await objects.write(name, renewed, found.tag);
      return key;
    } catch (error) {
      if (error instanceof AegisError && error.code === 'KEY_NOT_OPENED')
        throw new AegisError('CONFIG_INVALID', `keys: what wrapped ${name} in the object store is another key.`, error);
      // somebody else was first; what they wrote counts
      if (!(error instanceof ObjectConflict)) throw error;
    }
  }
}
