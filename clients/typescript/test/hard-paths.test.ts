import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { json } from '../src/codec.js';
import { DibsBusyError, LeaseLostError } from '../src/errors.js';
import { PublishOutcome } from '../src/generated/dibs/v1/coordinator.js';
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

// Over real gRPC, with a fake service that gives answers which a real one gives only in trouble.

const ttlMs = 60_000;
const STORED = published(PublishOutcome.PUBLISH_OUTCOME_STORED);
const DUPLICATE = published(PublishOutcome.PUBLISH_OUTCOME_DUPLICATE);
let fake: FakeService;

beforeEach(async () => {
  fake = await FakeService.start();
  fake.will('publish', STORED);
  fake.will('release', RELEASED);
});
afterEach(() => fake.stop());

describe('callers that leave', () => {
  it('end their wait at the service', async () => {
    fake.will('getOrLock', 'never');
    const rebuild = vi.fn(() => bytes('for no caller'));
    const gone = new AbortController();
    const call = fake.client().getOrRebuild('k', rebuild, { codec: raw, ttlMs, signal: gone.signal });
    await vi.waitFor(() => expect(fake.heard).toHaveLength(1));
    gone.abort(new Error('left'));
    await expect(call).rejects.toThrow('left');
    await vi.waitFor(() => expect(fake.heard[0]?.cancelled).toBe(true));
    expect(rebuild).not.toHaveBeenCalled();
  });

  it('leave the wait to the caller that stays', async () => {
    const answer = deferred<object>();
    fake.will('getOrLock', () => answer.promise);
    const client = fake.client();
    const gone = new AbortController();
    const leaving = client.getOrRebuild('k', () => bytes(''), { codec: raw, ttlMs, signal: gone.signal });
    const staying = client.getOrRebuild('k', () => bytes(''), { codec: raw, ttlMs });
    await vi.waitFor(() => expect(fake.heard).toHaveLength(1));
    gone.abort(new Error('left'));
    await expect(leaving).rejects.toThrow('left');
    answer.resolve(hit('theirs'));
    expect(String(await staying)).toBe('theirs');
    expect(fake.heard).toMatchObject([{ method: 'getOrLock', cancelled: false }]);
  });
});

describe('a wait', () => {
  it('is repeated as one call for as long as the caller has time', async () => {
    fake.will('getOrLock', busy(1), new Refusal(8, 'full', 1), unavailable(1), hit('v'));
    const value = await fake
      .client()
      .getOrRebuild('k', () => bytes(''), { codec: raw, ttlMs, waitMs: 20_000 });
    expect(String(value)).toBe('v');
    const asked = fake.requests('getOrLock') as { requestId: string; waitMs: number }[];
    expect(asked).toHaveLength(4);
    expect(new Set(asked.map(({ requestId }) => requestId)).size).toBe(1);
    const waits = asked.map(({ waitMs }) => waitMs);
    expect(waits).toEqual(waits.toSorted((a, b) => b - a));
    expect(waits.at(-1)).toBeLessThan(20_000);
  });

  it('ends at once if its time to retry comes too late', async () => {
    fake.will('getOrLock', busy(5_000));
    const error = await fake
      .client()
      .getOrRebuild('k', () => bytes(''), { codec: raw, ttlMs, waitMs: 1_000 })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DibsBusyError);
    expect(error).toMatchObject({ reason: 'wait_ended', retryAfterMs: 5_000, holderAgeMs: 7 });
    expect(fake.heard).toHaveLength(1);
  });

  it('that cannot succeed ends at once', async () => {
    fake.will('getOrLock', busy(1, 2));
    await expect(
      fake.client().getOrRebuild('k', () => bytes(''), { codec: raw, ttlMs, waitMs: 20_000 }),
    ).rejects.toMatchObject({
      reason: 'deadline_too_short',
    });
    expect(fake.heard).toHaveLength(1);
  });
});

describe('a service that breaks off', () => {
  it('is asked once more as the same call, because another replica may answer', async () => {
    fake.will('getOrLock', unavailable(), hit('v'));
    const rebuild = vi.fn(() => bytes('mine'));
    expect(String(await fake.client().getOrRebuild('k', rebuild, { codec: raw, ttlMs }))).toBe('v');
    expect(rebuild).not.toHaveBeenCalled();
    const [first, second] = fake.requests('getOrLock');
    expect(second?.requestId).toBe(first?.requestId);
  });

  it('twice is bypassed by a local rebuild', async () => {
    fake.will('getOrLock', unavailable());
    const onLocalRebuild = vi.fn();
    const client = fake.client({ hooks: { onLocalRebuild } });
    const seen = deferred<object>();
    const rebuild = (context: object) => {
      seen.resolve(context);
      return bytes('mine');
    };
    expect(String(await client.getOrRebuild('k', rebuild, { codec: raw, ttlMs }))).toBe('mine');
    expect(await seen.promise).toMatchObject({ fence: 0, reason: 'local', previous: undefined });
    expect(onLocalRebuild).toHaveBeenCalledTimes(1);
    expect(fake.heard.map(({ method }) => method)).toEqual(['getOrLock', 'getOrLock']);
  });

  it('with a time to retry has decided, so no caller rebuilds', async () => {
    fake.will('getOrLock', unavailable(60_000));
    const rebuild = vi.fn(() => bytes('mine'));
    await expect(fake.client().getOrRebuild('k', rebuild, { codec: raw, ttlMs })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      retryAfterMs: 60_000,
    });
    expect(rebuild).not.toHaveBeenCalled();
  });

  it.each([
    ['refuses the value', new Refusal(8, 'value: too large'), 'value: too large', 2],
    ['is overloaded', new Refusal(8, 'too many calls', 1), undefined, 4],
  ])('and then %s, gets the lease back', async (_what, answer, message, times) => {
    fake.will('getOrLock', lease('t'));
    fake.will('publish', unavailable(), answer);
    const onNotStorable = vi.fn();
    const client = fake.client({ hooks: { onNotStorable } });
    expect(String(await client.getOrRebuild('k', () => bytes('v'), { codec: raw, ttlMs }))).toBe('v');
    expect(await client.flush({ timeoutMs: 20_000 })).toBe(true);
    expect(fake.requests('publish')).toHaveLength(times);
    const failure = message === undefined ? undefined : expect.objectContaining({ message });
    expect(fake.requests('release')).toEqual([expect.objectContaining({ failure })]);
    expect(onNotStorable).toHaveBeenCalledTimes(message === undefined ? 0 : 1);
  });

  it('before it answers a publish reports a duplicate when asked again', async () => {
    fake.will('getOrLock', lease('t'));
    fake.will('publish', unavailable(), DUPLICATE);
    const told = deferred<object>();
    const client = fake.client({ hooks: { onPublish: told.resolve } });
    expect(
      String(await client.getOrRebuild('k', () => bytes('v'), { codec: raw, ttlMs, namespace: 'n' })),
    ).toBe('v');
    expect(await told.promise).toMatchObject({ namespace: 'n', key: 'k', outcome: 'duplicate', fence: 4 });
    const [first, second] = fake.requests('publish');
    expect(second).toEqual(first);
    expect(fake.requests('release')).toEqual([]);
  });
});

describe('a service that does not answer on its connections', () => {
  /** Accepts connections and sends nothing, like a hung process. */
  let mute: Server;
  let target: string;
  beforeEach(async () => {
    mute = createServer((socket) => socket.on('error', () => {}));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const address = mute.address();
    target = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  });
  afterEach(() => mute.close());

  it('is bypassed after connectMs, and then at once', async () => {
    const client = fake.client({ target, connectMs: 60 });
    expect(String(await client.getOrRebuild('k', () => bytes('mine'), { codec: raw, ttlMs }))).toBe('mine');
    // The second call does not wait for a connection that is known to be late: it would outlast its deadline.
    await expect(client.extend({ key: 'k', token: 't' }, { deadlineMs: 20 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  it('is an error with its address if onUnavailable is fail', async () => {
    const client = fake.client({ target, connectMs: 60, onUnavailable: 'fail' });
    const rebuild = vi.fn(() => bytes(''));
    await expect(client.getOrRebuild('k', rebuild, { codec: raw, ttlMs })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining(target),
    });
    expect(rebuild).not.toHaveBeenCalled();
  });

  it('does not hold a call beyond its own deadline or signal', async () => {
    const client = fake.client({ target, connectMs: 20_000 });
    await expect(client.extend({ key: 'k', token: 't' }, { deadlineMs: 50 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    const gone = new AbortController();
    const call = client.extend({ key: 'k', token: 't' }, { signal: gone.signal });
    gone.abort();
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('a result', () => {
  it.each([
    ['superseded', PublishOutcome.PUBLISH_OUTCOME_SUPERSEDED],
    ['invalidated', PublishOutcome.PUBLISH_OUTCOME_INVALIDATED],
    ['unknown_lease', PublishOutcome.PUBLISH_OUTCOME_UNKNOWN_LEASE],
    ['not_stored', PublishOutcome.PUBLISH_OUTCOME_NOT_STORED],
    ['stored_late', PublishOutcome.PUBLISH_OUTCOME_STORED_LATE],
    ['unspecified', 99 as PublishOutcome],
  ])('whose publish is %s is still returned to its caller', async (outcome, answer) => {
    fake.will('getOrLock', lease('t'));
    fake.will('publish', published(answer));
    const onPublish = vi.fn();
    const client = fake.client({ hooks: { onPublish } });
    expect(String(await client.getOrRebuild('k', () => bytes('v'), { codec: raw, ttlMs }))).toBe('v');
    expect(onPublish).toHaveBeenCalledWith(expect.objectContaining({ outcome }));
  });

  it.each([['text'], [{ id: 1 }]])('that is %s and not bytes is refused, with what to do', async (value) => {
    fake.will('getOrLock', lease('t'));
    const wrong = () => value as never;
    await expect(fake.client().getOrRebuild('k', wrong, { codec: raw, ttlMs })).rejects.toThrow(
      'the value is not a Uint8Array, which the codec bytes() stores',
    );
    expect(fake.requests('publish')).toEqual([]);
    expect(fake.requests('release')).toMatchObject([{ token: 't', failure: expect.anything() }]);
  });
});

describe('a rebuild', () => {
  const codec = json<{ version: number }>();
  const seenBy = async (previous: string | undefined) => {
    fake.will('getOrLock', lease('t', 10_000, previous));
    const seen = deferred<object>();
    const rebuild = (context: object) => {
      seen.resolve(context);
      return { version: 2 };
    };
    await fake.client().getOrRebuild('k', rebuild, { ttlMs, codec, revalidate: 'await' });
    return seen.promise;
  };

  it('gets the previous value, its fence and its reason', async () => {
    expect(await seenBy('{"version":1}')).toMatchObject({
      previous: { version: 1 },
      fence: 4,
      reason: 'miss',
    });
  });

  it('gets no previous value if that cannot be decoded any more', async () => {
    expect(await seenBy('<an older format>')).toMatchObject({ previous: undefined, fence: 4 });
    expect(await seenBy(undefined)).toMatchObject({ previous: undefined });
  });
});

describe('a lease that is lost', () => {
  const untilAborted = ({ signal }: { signal: AbortSignal }) =>
    new Promise<Buffer>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

  it('is requested again while there is time', async () => {
    fake.will('getOrLock', lease('one', 60), hit('theirs'));
    fake.will('extend', LOST);
    expect(String(await fake.client().getOrRebuild('k', untilAborted, { codec: raw, ttlMs }))).toBe('theirs');
    expect(fake.requests('release')).toEqual([]);
  });

  it('is an error without time, so a key that is often invalidated does not hold its caller for ever', async () => {
    fake.will('getOrLock', lease('one', 60));
    fake.will('extend', LOST);
    const call = fake.client().getOrRebuild('k', untilAborted, { codec: raw, ttlMs, waitMs: 1 });
    await expect(call).rejects.toBeInstanceOf(LeaseLostError);
    expect(fake.requests('getOrLock')).toHaveLength(1);
  });

  it('is noticed at its end, even if an extension hangs and the rebuild ignores its signal', async () => {
    fake.will('getOrLock', lease('one', 120), hit('theirs'));
    fake.will('extend', 'never');
    let told: AbortSignal | undefined;
    const rebuild = ({ signal }: { signal: AbortSignal }) => {
      told = signal;
      return new Promise<Buffer>(() => {});
    };
    expect(String(await fake.client().getOrRebuild('k', rebuild, { codec: raw, ttlMs }))).toBe('theirs');
    expect(told?.reason).toBeInstanceOf(LeaseLostError);
    expect(fake.requests('publish')).toEqual([]);
  });

  it('discards what the rebuild returns afterwards', async () => {
    fake.will('getOrLock', lease('one', 60), hit('theirs'));
    fake.will('extend', LOST);
    const gate = deferred<Buffer>();
    expect(String(await fake.client().getOrRebuild('k', () => gate.promise, { codec: raw, ttlMs }))).toBe(
      'theirs',
    );
    gate.resolve(bytes('late'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(fake.requests('publish')).toEqual([]);
  });

  it('because it was held for too long is released without a failure', async () => {
    fake.will('getOrLock', lease('one', 1_500), hit('theirs'));
    fake.will('extend', { outcome: 1, expiresInMs: 1_500 });
    const client = fake.client({ leaseHoldMaxMs: 1_200 });
    expect(
      String(await client.getOrRebuild('k', () => new Promise<Buffer>(() => {}), { codec: raw, ttlMs })),
    ).toBe('theirs');
    expect(fake.requests('extend')).not.toEqual([]);
    await vi.waitFor(() =>
      expect(fake.requests('release')).toMatchObject([{ token: 'one', failure: undefined }]),
    );
    const [first, second] = fake.requests('getOrLock');
    expect(second?.requestId).not.toBe(first?.requestId);
  });
});

describe('a client that is closed', () => {
  it('makes no more calls, and rebuilds nothing in their place', async () => {
    fake.will('getOrLock', hit('v'));
    const client = fake.client();
    await client.getOrRebuild('k', () => bytes(''), { codec: raw, ttlMs });
    client.close();
    const rebuild = vi.fn(() => bytes('mine'));
    await expect(client.getOrRebuild('k', rebuild, { codec: raw, ttlMs })).rejects.toMatchObject({
      name: 'DibsError',
      code: 'CANCELLED',
      message: expect.stringContaining('closed'),
    });
    expect(rebuild).not.toHaveBeenCalled();
  });

  it('lets the calls that it has made end', async () => {
    const answer = deferred<object>();
    fake.will('getOrLock', () => answer.promise);
    const client = fake.client();
    const call = client.getOrLock({ key: 'k' });
    await vi.waitFor(() => expect(fake.heard).toHaveLength(1));
    client.close();
    answer.resolve(hit('v'));
    expect(await call).toMatchObject({ kind: 'hit', value: bytes('v') });
  });
});
