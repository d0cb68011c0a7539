import { afterEach, beforeEach, describe } from 'vitest';

/**
 * One contract, one suite, every implementation:
 *
 * ```ts
 * export const runStoreSuite = conformanceSuite<RunStore>('RunStore', (store) => {
 *   it('finds a saved run', async () => expect(await store().find(1n)).toEqual(…));
 * });
 * // memory.test.ts
 * runStoreSuite('memory', async () => ({ subject: memoryRunStore() }));
 * ```
 * Each test gets a fresh subject; `end` runs after it.
 */
export const conformanceSuite =
  <T>(contract: string, tests: (subject: () => T) => void) =>
  (implementation: string, open: () => Promise<{ subject: T; end?: () => Promise<void> }>): void => {
    describe(`${contract}: ${implementation}`, () => {
      let current: Awaited<ReturnType<typeof open>> | undefined;
      beforeEach(async () => {
        current = await open();
      });
      afterEach(async () => {
        await current?.end?.();
        current = undefined;
      });
      tests(() => {
        if (current === undefined) throw new Error(`${contract}: the subject exists only while a test runs`);
        return current.subject;
      });
    });
  };
