import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DibsClient } from '../src/client.js';
import { type GetOrLockResponse, PublishOutcome } from '../src/generated/dibs/v1/coordinator.js';
import {
  busy,
  FakeService,
  hit,
  LOST,
  lease,
  published,
  RELEASED,
  Refusal,
  unavailable,
} from './fake-service.js';
import { bytes, deferred, raw } from './service.js';

// Callers that arrive while their own process rebuilds.

const ttlMs = 60_000;
const STORED = PublishOutcome.PUBLISH_OUTCOME_STORED;
let fake: FakeService;
let client: DibsClient;
let gate: ReturnType<typeof deferred<Buffer>>;

beforeEach(async () => {
  fake = await FakeService.start();
  client = fake.client();
  gate = deferred<Buffer>();
  fake.will('getOrLock', lease('t'), hit('asked'));
  fake.will('publish', published(STORED, true));
  fake.will('release', RELEASED);
  fake.will('invalidate', { keysInvalidated: 0, leasesVoided: 0 });
});
afterEach(() => fake.stop());

/** Starts a caller whose rebuild runs until the gate opens. */
async function rebuilding(options: object = {}) {
  const begun = deferred<AbortSignal>();
  const rebuild = ({ signal }: { signal: AbortSignal }) => {
    begun.resolve(signal);
    return gate.promise;
  };
  const first = client.getOrRebuild('k', rebuild, { codec: raw, ttlMs, ...options });
  first.catch(() => {});
  await begun.promise;
  return { first };
}
/** A lease for this reason, without a previous value. */
function leaseBecause(reason: number): GetOrLockResponse {
  const answer = lease('t');
  if (answer.outcome?.$case === 'lease') answer.outcome.value.reason = reason;
  return answer;
}
const late = (options: object = {}) =>
  client.getOrRebuild('k', () => bytes('own'), { codec: raw, ttlMs, ...options });
const asked = () => fake.requests('getOrLock').length;
/** Waits long enough for a request to reach the service if one was sent. */
const aMoment = () => new Promise((resolve) => setTimeout(resolve, 30));

describe('a rebuild of this process', () => {
  it('is shared by later callers with any options', async () => {
    const { first } = await rebuilding();
    const all = [late(), late({ stale: 'forbid' }), late({ waitMs: 5_000, ttlMs: 1, revalidate: 'await' })];
    await aMoment();
    gate.resolve(bytes('v'));
    expect((await Promise.all([first, ...all])).map(String)).toEqual(['v', 'v', 'v', 'v']);
    expect(asked()).toBe(1);
  });

  it.each([
    ['stored, and counts', published(STORED, true), 'v'],
    ['stored late, and counts', published(PublishOutcome.PUBLISH_OUTCOME_STORED_LATE, true), 'v'],
    ['a duplicate that counts', published(PublishOutcome.PUBLISH_OUTCOME_DUPLICATE, true), 'v'],
    ['stored, and does not count', published(STORED, false), 'asked'],
    ['stored, by a replica that does not know', published(STORED), 'asked'],
    ['not stored', published(PublishOutcome.PUBLISH_OUTCOME_NOT_STORED, true), 'asked'],
    ['superseded', published(PublishOutcome.PUBLISH_OUTCOME_SUPERSEDED, true), 'asked'],
    ['invalidated', published(PublishOutcome.PUBLISH_OUTCOME_INVALIDATED, true), 'asked'],
    ['not answered', unavailable(), 'asked'],
  ])('is shared, or asked for again, if its publish was %s', async (_what, answer, value) => {
    fake.will('publish', answer);
    const { first } = await rebuilding();
    const second = late();
    gate.resolve(bytes('v'));
    // A caller that arrived before the lease gets the value in any case.
    expect(String(await first)).toBe('v');
    expect(String(await second)).toBe(value);
    expect(asked()).toBe(value === 'v' ? 1 : 2);
  });

  it('is closed from the moment its publish is sent', async () => {
    const answer = deferred<object>();
    fake.will('publish', () => answer.promise);
    const { first } = await rebuilding();
    gate.resolve(bytes('v'));
    await vi.waitFor(() => expect(fake.requests('publish')).toHaveLength(1));
    const newcomer = late();
    await aMoment();
    answer.resolve(published(STORED, true));
    expect(String(await newcomer)).toBe('asked');
    expect(String(await first)).toBe('v');
  });

  it('is closed from the moment its release is sent', async () => {
    const answer = deferred<object>();
    fake.will('release', () => answer.promise);
    const { first } = await rebuilding();
    gate.reject(new Error('down'));
    await vi.waitFor(() => expect(fake.requests('release')).toHaveLength(1));
    const newcomer = late();
    await aMoment();
    answer.resolve(RELEASED);
    expect(String(await newcomer)).toBe('asked');
    await expect(first).rejects.toThrow('down');
  });

  it('shares its failure only if its release was accepted', async () => {
    const { first } = await rebuilding();
    const second = late();
    gate.reject(new Error('down'));
    await expect(first).rejects.toThrow('down');
    await expect(second).rejects.toThrow('down');

    gate = deferred();
    fake.will('getOrLock', lease('t'), hit('asked'));
    fake.will('release', { outcome: 2 });
    const { first: third } = await rebuilding();
    const fourth = late();
    gate.reject(new Error('down'));
    await expect(third).rejects.toThrow('down');
    expect(String(await fourth)).toBe('asked');
  });

  it.each([
    ['its key', { keys: ['k'] }],
    ['any tag', { tags: ['t'] }],
    ['everything', { all: true }],
  ])('is not joined after this process has invalidated %s, even if that failed', async (_what, by) => {
    for (const fails of [false, true]) {
      gate = deferred();
      fake.will('getOrLock', lease('t'), hit('asked'));
      fake.will('invalidate', fails ? unavailable() : { keysInvalidated: 0, leasesVoided: 0 });
      const { first } = await rebuilding();
      await client.invalidate(by).catch(() => {});
      expect(String(await late({ waitMs: 2_000 }))).toBe('asked');
      gate.resolve(bytes('v'));
      expect(String(await first)).toBe('v');
    }
  });

  it('is still joined after this process has invalidated another key', async () => {
    const { first } = await rebuilding();
    await client.invalidate({ keys: ['other'] });
    const second = late();
    gate.resolve(bytes('v'));
    expect((await Promise.all([first, second])).map(String)).toEqual(['v', 'v']);
  });

  it('ends with its lease for all its callers, and is not published', async () => {
    fake.will('getOrLock', lease('t', 60), hit('asked'));
    fake.will('extend', LOST);
    const { first } = await rebuilding();
    const second = late();
    expect((await Promise.all([first, second])).map(String)).toEqual(['asked', 'asked']);
    gate.resolve(bytes('v'));
    await aMoment();
    expect(fake.requests('publish')).toEqual([]);
  });

  it('lets each caller wait for its own time', async () => {
    const { first } = await rebuilding();
    const startMs = performance.now();
    await expect(late({ waitMs: 0 })).rejects.toMatchObject({ name: 'DibsBusyError', reason: 'wait_ended' });
    await expect(late({ waitMs: 50 })).rejects.toMatchObject({ reason: 'wait_ended' });
    await expect(late({ signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(98);
    gate.resolve(bytes('v'));
    expect(String(await first)).toBe('v');
    expect(asked()).toBe(1);
  });

  it('is not joined by callers that want a value newer than their call', async () => {
    const { first } = await rebuilding();
    expect(String(await late({ read: 'store', waitMs: 2_000 }))).toBe('asked');
    expect(String(await late({ refresh: true, waitMs: 2_000 }))).toBe('asked');
    gate.resolve(bytes('v'));
    await first;
  });

  it('is not joined by callers that accept the stale value that came with its lease', async () => {
    fake.will('getOrLock', lease('t', 10_000, 'old'), hit('stale'));
    const { first } = await rebuilding({ revalidate: 'await' });
    expect(String(await late({ waitMs: 2_000 }))).toBe('stale');
    const strict = late({ stale: 'forbid' });
    gate.resolve(bytes('v'));
    expect((await Promise.all([first, strict])).map(String)).toEqual(['v', 'v']);
  });

  it.each<[string, GetOrLockResponse, object, object]>([
    ['of a refresh', leaseBecause(6), { refresh: true }, { stale: 'forbid' }],
    ['of an early refresh', leaseBecause(3), { revalidate: 'await' }, { revalidate: 'await' }],
    ['whose holder alone forbids stale values', lease('t'), { stale: 'forbid' }, {}],
    ['whose holder leaves that to the policy', lease('t'), {}, { stale: 'allow' }],
  ])(
    'is not joined by callers that the service may answer at once: one %s',
    async (_of, answer, by, comes) => {
      fake.will('getOrLock', answer, hit('at once'));
      const { first } = await rebuilding(by);
      expect(String(await late({ waitMs: 2_000, ...comes }))).toBe('at once');
      gate.resolve(bytes('v'));
      expect(String(await first)).toBe('v');
    },
  );

  it('is kept alive by the callers that joined it', async () => {
    const gone = new AbortController();
    const { first } = await rebuilding({ signal: gone.signal });
    const second = late();
    gone.abort(new Error('left'));
    await expect(first).rejects.toThrow('left');
    gate.resolve(bytes('v'));
    expect(String(await second)).toBe('v');
  });

  it('gives each caller its own bytes', async () => {
    const { first } = await rebuilding();
    const all = [first, late(), late()];
    gate.resolve(bytes('v'));
    const values = await Promise.all(all);
    values[0]?.fill('x');
    expect(values.slice(1).map(String)).toEqual(['v', 'v']);
    values[1]?.fill('y');
    expect(String(values[2])).toBe('v');
  });
});

describe('calls of one turn', () => {
  it('each get their own bytes of a hit', async () => {
    fake.will('getOrLock', hit('v'));
    const [one, two] = await Promise.all([late(), late()]);
    one?.fill('x');
    expect(String(two)).toBe('v');
    expect(asked()).toBe(1);
  });
});

describe('a wait that is longer than the service allows', () => {
  it('is sent in pieces from the beginning if no service allows it', async () => {
    fake.will('getOrLock', busy(1), busy(1), hit('v'));
    expect(String(await late({ waitMs: 90_000 }))).toBe('v');
    expect(fake.requests('getOrLock').map(({ waitMs }) => waitMs)).toEqual([undefined, undefined, undefined]);
  });

  it('outlasts a rebuild that takes longer than a piece', async () => {
    fake.will('getOrLock', busy(1, 2), hit('v'));
    expect(String(await late({ waitMs: 90_000 }))).toBe('v');
  });

  it('outlasts a rebuild that takes longer than the service allows also if the caller sets none', async () => {
    fake.will('getOrLock', busy(1, 2), hit('v'));
    expect(String(await late())).toBe('v');
  });

  it('is sent in pieces once the service has reported its bound, and no longer than the caller waits', async () => {
    const refused = new Refusal(3, 'wait_ms: 2000 is outside 0 to 50');
    fake.will('getOrLock', (({ waitMs }: { waitMs?: number }) =>
      waitMs !== undefined && waitMs > 50 ? refused : busy(1)) as never);
    await expect(late({ waitMs: 2_000 })).rejects.toMatchObject({ reason: 'wait_ended' });
    const waits = fake.requests('getOrLock').map(({ waitMs }) => waitMs as number | undefined);
    expect(waits[0]).toBeGreaterThan(200);
    expect(waits[1]).toBeUndefined();
    expect(waits.slice(1).every((waitMs) => waitMs === undefined || waitMs <= 50)).toBe(true);
    // After a stall, the last piece may be a whole one.
    expect(waits.at(-1) ?? 0).toBeLessThanOrEqual(50);
  });
});
