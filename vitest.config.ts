import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // A hanging suite has to name itself instead of holding the run.
    teardownTimeout: 10_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: [
            'test/{unit,contract,simulation,conformance,repository}/**/*.test.ts',
            'clients/typescript/test/**/*.test.ts',
          ],
          // Contract suites start real Redis processes; two files at a time is what a small machine carries.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: 'test/support/built.ts',
          // Each suite brings up a whole fleet, and times what it does: one at a time, after all others.
          fileParallelism: false,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
        },
      },
    ],
  },
});
