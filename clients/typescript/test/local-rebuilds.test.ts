import { expect, test } from 'vitest';
import { SYSTEM_CLOCK } from '../src/clock.js';
import { LocalRebuilds, type LocalTerms } from '../src/local-rebuilds.js';
import type { Made } from '../src/rebuild.js';

const TERMS: LocalTerms = {
  ...{ namespace: '', key: 'a', signal: new AbortController().signal, mayShare: true },
  ...{ untilMs: Number.POSITIVE_INFINITY, ttlMsOf: () => 60_000 },
};

function made(text: string): Made {
  return { bytes: Buffer.from(text), how: { store: true } };
}

test('a rebuild that began before the service was back is not kept, and not joined', async () => {
  const rebuilds = new LocalRebuilds();
  let end = (_made: Made) => {};
  const first = rebuilds.get(TERMS, () => new Promise((resolve) => (end = resolve)));
  rebuilds.forget();
  expect((await rebuilds.get(TERMS, async () => made('new'))).bytes?.toString()).toBe('new');
  end(made('old'));
  expect((await first).bytes?.toString()).toBe('old');
  expect((await rebuilds.get(TERMS, async () => made('newer'))).bytes?.toString()).toBe('new');
});

test('a rebuild without the service serves later callers for its time to live, and for 5 s at most', async () => {
  for (const [ttlMs, keptMs] of [
    [60_000, 5_000],
    [1_000, 1_000],
  ] as const) {
    let nowMs = 1_000;
    const rebuilds = new LocalRebuilds({ ...SYSTEM_CLOCK, nowMs: () => nowMs });
    const terms = { ...TERMS, ttlMsOf: () => ttlMs };
    await rebuilds.get(terms, async () => made('old'));
    nowMs += keptMs - 1;
    expect((await rebuilds.get(terms, async () => made('new'))).bytes?.toString()).toBe('old');
    nowMs += 2;
    expect((await rebuilds.get(terms, async () => made('new'))).bytes?.toString()).toBe('new');
  }
});
