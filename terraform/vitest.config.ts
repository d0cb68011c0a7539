import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['terraform/tests/**/*.test.ts'],
    // helm, which tells whether the chart takes what the modules say
    globalSetup: ['tests/chart/install-tools.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // terraform uses the cores itself.
    maxWorkers: 1,
  },
});
