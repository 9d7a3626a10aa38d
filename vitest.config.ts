import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'clients/typescript/test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'test/bench/**'],
    // The suites start real Redis processes; two files at a time is what a small machine carries.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
