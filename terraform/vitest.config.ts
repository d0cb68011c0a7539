import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['terraform/tests/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // terraform uses the cores itself.
    maxWorkers: 1,
  },
});
