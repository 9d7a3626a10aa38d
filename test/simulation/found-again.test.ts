import { describe, expect, it } from 'vitest';
import { playedWith } from './broken-copy.js';

/** They need half a minute of the processor at most. It may be shared. */
const LONG_MS = 900_000;

// Each of these once served an old value. A mutant removes the fix, and the search of all orders finds the fault again
// without a hint.
const FOUND: readonly [mutant: string, scenario: string, deviations?: number][] = [
  ['unstored-lease-feeds-after-a-change', 'a lease without the store, and a change (key)'],
  ['unstored-lease-feeds-after-its-tag', 'a lease without the store, and a change (tag)'],
  ['publish-counted-at-its-reply', 'a publish, and a change (key)'],
  ['own-invalidation-heard-by-its-wake', 'a value in memory, and its own change (key)'],
  ['near-cache-fresh-without-its-store', 'a value in memory, and a store that is lost'],
  ['view-judged-once-for-all', 'a crowd, and a change (key)', 3],
  ['early-refresh-serves-newcomers', 'an early refresh, and a change (key)', 2],
  ['marker-that-is-ignored', 'lock nodes that are flushed, and a record that is lost'],
];

describe('the search of all orders', () => {
  it.each(FOUND)(
    'finds what %s breaks',
    (mutant, scenario, deviations = 1) => {
      const asked = ['explore', '--deviations', `${deviations}`, '--only', scenario];
      const { code, said } = playedWith(mutant, asked);
      expect(said).toMatch(/INV-(15|4) /);
      expect(code).toBe(1);
    },
    LONG_MS,
  );
});

// Rules for a client's copies. Random seeds find what breaks them.
const FOUND_IN_CLIENTS: readonly [mutant: string, from?: number][] = [
  ['client-near-cache-without-a-beat'],
  ['client-near-cache-kept-over-a-break'],
  ['client-near-cache-of-unary-answers'],
  // The first 1,000 seeds do not find it: it takes two sessions, one of which is late.
  ['client-near-cache-of-overtaken-answers', 2_001],
  ['client-flight-joined-whatever-its-publish'],
];

describe('seeds about lateness', () => {
  it(
    'find a store that counts as lost at the soft timeout',
    () => {
      const asked = ['--about', 'lateness', '--stop', '--from', '1', '--seeds', '100'];
      const { code, said } = playedWith('store-lost-at-the-soft-timeout', asked);
      expect(said).toMatch(/INV-19 /);
      expect(code).toBe(1);
    },
    LONG_MS,
  );
});

describe('seeds about clients', () => {
  it.each(FOUND_IN_CLIENTS)(
    'find what %s breaks',
    (mutant, from = 1) => {
      const asked = ['--about', 'clients', '--stop', '--from', `${from}`, '--seeds', '1000'];
      const { code, said } = playedWith(mutant, asked);
      expect(said).toMatch(/INV-15 /);
      expect(code).toBe(1);
    },
    LONG_MS,
  );
});
