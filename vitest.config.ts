import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: [
      'packages/**/*.test.ts',
      'services/**/*.test.ts',
      'agents/**/*.test.ts',
      'cli/**/*.test.ts',
      'core-native/npm/**/*.test.ts',
      'tests/suite/**/*.test.ts',
      'bench/**/*.test.ts',
      'deploy/**/*.test.ts',
      'tests/fuzz/**/*.test.ts',
    ],
    // Ends what hangs, on the slowest machine too; how fast anything is no test asserts.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
