import type { Objects } from '@aegis/cloud';

/** Where sealed files are kept for every aggregator, beside what each has of them on its own volume. A name says what is in it: nothing is ever replaced. */
export interface Depot {
  has(name: string): Promise<boolean>;
  /** Whole or not at all, and durable when it resolves. One that is there already is as good. */
  put(name: string, path: string): Promise<void>;
  /** Into a new file. False: there is none of that name. */
  fetch(name: string, path: string): Promise<boolean>;
  remove(name: string): Promise<void>;
}

export const objectDepot = (objects: Objects, prefix: string): Depot => ({
  has: async (name) => (await objects.find(`${prefix}${name}`)) !== null,
  put: async (name, path) => void (await objects.upload(`${prefix}${name}`, path)),
  fetch: (name, path) => objects.download(`${prefix}${name}`, path),
  remove: (name) => objects.remove(`${prefix}${name}`),
});
