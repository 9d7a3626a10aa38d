import { expect, test, vi } from 'vitest';
import { DibsClient } from '../src/client.js';
import { SYSTEM_CLOCK } from '../src/clock.js';
import { DibsError } from '../src/errors.js';
import { LocalRebuilds, type LocalTerms } from '../src/local-rebuilds.js';
import { NearCache } from '../src/near-cache.js';
import type { Made } from '../src/rebuild.js';
import type { Transport } from '../src/transport.js';

const TERMS: LocalTerms = {
  ...{ namespace: '', key: 'a', signal: new AbortController().signal, mayShare: true },
  ...{ untilMs: Number.POSITIVE_INFINITY, ttlMsOf: () => 60_000 },
};

function made(text: string): Made {
  return { bytes: Buffer.from(text), how: { store: true } };
}

test.for([
  ['the service came back', (rebuilds: LocalRebuilds) => rebuilds.forget()],
  ['a session began', (rebuilds: LocalRebuilds) => rebuilds.began()],
] as const)('a rebuild that began before %s is neither kept nor joined', async ([, back]) => {
  const rebuilds = new LocalRebuilds();
  let end = (_made: Made) => {};
  const first = rebuilds.get(TERMS, () => new Promise((resolve) => (end = resolve)));
  back(rebuilds);
  expect((await rebuilds.get(TERMS, async () => made('new'))).bytes?.toString()).toBe('new');
  end(made('old'));
  expect((await first).bytes?.toString()).toBe('old');
  expect((await rebuilds.get(TERMS, async () => made('newer'))).bytes?.toString()).toBe('new');
});

test('the result of a rebuild without the service is dropped by a change that a session reports', async () => {
  const changes = [
    { namespace: '', keys: ['a'], tags: [], all: false },
    { namespace: 'default', keys: [], tags: ['t'], all: false },
    { namespace: 'default', keys: [], tags: [], all: true },
  ];
  for (const change of changes) {
    const rebuilds = new LocalRebuilds();
    await rebuilds.get(TERMS, async () => made('old'));
    rebuilds.changed({ ...change, namespace: 'other' });
    rebuilds.changed({ namespace: '', keys: ['b'], tags: [], all: false });
    expect((await rebuilds.get(TERMS, async () => made('new'))).bytes?.toString()).toBe('old');
    rebuilds.changed(change);
    expect((await rebuilds.get(TERMS, async () => made('new'))).bytes?.toString()).toBe('new');
  }
});

test('a rebuild without the service serves later callers for its TTL, and for 5 s at most', async () => {
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

test('what was rebuilt without the service is newer than what the near cache has left', async () => {
  vi.spyOn(NearCache.prototype, 'left').mockReturnValue(Buffer.from('"old"'));
  const transport: Partial<Transport> = {
    getOrLock: () => Promise.reject(new DibsError('UNAVAILABLE', 'gone')),
    close: () => {},
  };
  const client = new DibsClient({
    ...{ transport: transport as Transport, nearCache: { maxBytes: 100_000 } },
    serveNearWhenUnavailable: true,
  });
  const get = (options = {}) => client.getOrRebuild('k', () => 'new', { ttlMs: 60_000, ...options });
  expect(await get()).toBe('old');
  expect(await get({ stale: 'forbid' })).toBe('new');
  expect(await get()).toBe('new');
  expect(await get({ onUnavailable: 'fail' })).toBe('old');
  vi.restoreAllMocks();
});
