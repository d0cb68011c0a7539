import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['tests/skew/**/*.test.ts'], hookTimeout: 60_000, maxWorkers: 1 },
});
