import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/chart/**/*.test.ts'],
    globalSetup: ['tests/chart/install-tools.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    // one cache of what helm rendered
    isolate: false,
  },
});
