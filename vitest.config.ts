import { defineConfig } from 'vitest/config';

/** They start real Redis processes. */
const WITH_REDIS = ['test/contract/**/*.test.ts', 'test/unit/redis/**/*.test.ts'];

/** For the night: they build programs for minutes, or run them. */
const LONG = process.env.DIBS_TEST_LONG === '1' ? [] : ['test/**/*.long.test.ts'];

export default defineConfig({
  test: {
    // A test takes seconds, and minutes if forty processes share two cores.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // A hanging suite has to name itself instead of holding the run.
    teardownTimeout: 10_000,
    // Longer than a second: other work may have the processor.
    expect: { poll: { timeout: 20_000 } },
    setupFiles: ['test/support/long-waits.ts'],
    projects: [
      {
        extends: true,
        test: {
          // On all cores: they need nothing but this process.
          name: 'unit',
          include: [
            'test/{unit,repository,simulation,conformance}/**/*.test.ts',
            'clients/typescript/test/**/*.test.ts',
          ],
          exclude: WITH_REDIS,
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'contract',
          include: WITH_REDIS,
          // Each file starts up to seven Redis processes; two files at a time is what a small machine carries.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          exclude: LONG,
          globalSetup: 'test/support/built.ts',
          // Each suite brings up a whole fleet, and mostly waits for it: two at a time, after all others.
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
