import { expect, test } from 'vitest';
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
