import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['tests/trace/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 240_000 },
});
