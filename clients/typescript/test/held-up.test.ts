import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Changes, Watch } from '../src/changes.js';
import type { Clock } from '../src/clock.js';
import type { SessionReply, SessionResponse } from '../src/generated/dibs/v1/coordinator.js';
import { Freshness, GetOrLockRequest, type GetOrLockResponse } from '../src/generated/dibs/v1/coordinator.js';
import type { ChannelLink } from '../src/link.js';
import { NearCache } from '../src/near-cache.js';
import { SessionTransport } from '../src/session-transport.js';
import { FakeService, lease, published } from './fake-service.js';
import { bytes, raw } from './service.js';

// A process that stood still finds old messages in its sockets. Nothing in its memory may be served beyond its time.

let nowMs: number;
const clock: Clock = {
  nowMs: () => nowMs,
  after: () => () => {},
  behind: () => () => {},
  soon: (fire) => {
    fire();
    return () => {};
  },
};
const hit = (freshForMs: number): GetOrLockResponse => ({
  degraded: 1,
  outcome: {
    $case: 'hit',
    value: {
      payload: { $case: 'value', value: bytes('v') },
      freshness: Freshness.FRESHNESS_FRESH,
      freshForMs,
      fence: 1,
      rebuilding: false,
      tags: undefined,
    },
  },
});

beforeEach(() => {
  nowMs = 0;
});

describe('the life of a near entry', () => {
  const maxBytes = 100_000;
  const started = () => {
    const watch = new Watch(() => {}, clock);
    watch.beat();
    return { cache: new NearCache({ maxBytes }, '', true, clock), watch };
  };
  const keys = ['a', 'b'];

  /** Asks for the keys, and has the answer so many milliseconds later. */
  const ways: [string, (cache: NearCache, watch: Watch, takesMs: number) => void][] = [
    [
      'one key',
      (cache, watch, takesMs) => {
        const asking = keys.map((key) => cache.ask('', key, watch));
        nowMs += takesMs;
        for (const one of asking) if (one !== undefined) cache.answered(one, hit(1_000));
      },
    ],
    [
      'many keys',
      (cache, watch, takesMs) => {
        const asking = cache.askMany('', keys, watch);
        nowMs += takesMs;
        for (const key of keys) asking.answered({ key, result: { $case: 'response', value: hit(1_000) } });
        asking.end();
      },
    ],
  ];

  describe.each(ways)('of a request for %s', (_what, ask) => {
    it.each([0, 800])('counts from when the request was sent: %s ms before the answer', (takesMs) => {
      const { cache, watch } = started();
      ask(cache, watch, takesMs);
      nowMs += 999 - takesMs;
      expect(keys.map((key) => cache.get('', key)?.toString())).toEqual(['v', 'v']);
      nowMs += 1;
      expect(keys.map((key) => cache.get('', key))).toEqual([undefined, undefined]);
    });

    it.each([1_000, 1_100])('is over when the answer comes after %s ms', (takesMs) => {
      const { cache, watch } = started();
      ask(cache, watch, takesMs);
      expect(keys.map((key) => cache.get('', key))).toEqual([undefined, undefined]);
      cache.missed();
      expect(keys.map((key) => cache.left('', key))).toEqual([undefined, undefined]);
    });
  });

  it('goes on where the entry is kept for as long as the service is away', () => {
    const { cache, watch } = started();
    ways[0]?.[1](cache, watch, 800);
    nowMs += 100;
    cache.missed();
    nowMs += 99;
    expect(cache.left('', 'a')?.toString()).toBe('v');
    nowMs += 1;
    expect(cache.left('', 'a')).toBeUndefined();
  });

  it('ends when the service is back, unless its session is live', () => {
    const { cache, watch } = started();
    const fill = (by: Watch, key: string) => {
      const asking = cache.ask('', key, by);
      if (asking !== undefined) cache.answered(asking, hit(60_000));
    };
    fill(watch, 'left');
    cache.missed();
    const [silent, live] = [new Watch(() => {}, clock), new Watch(() => {}, clock)];
    silent.beat();
    fill(silent, 'silent');
    nowMs += 3_000;
    live.beat();
    fill(live, 'live');
    cache.serviceIsBack();
    cache.missed();
    const left = ['left', 'silent', 'live'].map((key) => cache.left('', key)?.toString());
    expect(left).toEqual([undefined, undefined, 'v']);
  });

  it('ends with the answer of another session, also if that is not kept', () => {
    const { cache, watch } = started();
    const other = new Watch(() => {}, clock);
    other.beat();
    const answer = (by: Watch, key: string, freshForMs: number) => {
      const asking = cache.ask('', key, by);
      if (asking !== undefined) cache.answered(asking, hit(freshForMs));
    };
    for (const key of ['left', 'untouched']) answer(watch, key, 60_000);
    cache.missed();
    for (const key of ['live', 'own']) answer(watch, key, 60_000);
    for (const key of ['left', 'live']) answer(other, key, 0);
    answer(watch, 'own', 0);
    cache.missed();
    const left = ['left', 'live', 'own', 'untouched'].map((key) => cache.left('', key)?.toString());
    expect(left).toEqual([undefined, undefined, 'v', 'v']);
  });
});

describe('a session whose beat was due long ago', () => {
  /** A session that was welcomed and has filled the near cache with `known`. */
  const welcomed = () => {
    const stream = Object.assign(new EventEmitter(), { write: () => true, destroyed: false });
    const link = { connecting: { underWay: () => undefined }, session: () => stream };
    const near = new NearCache({ maxBytes: 100_000 }, '', false, clock);
    const changes = new Changes(near.namespaces, clock);
    const missed = vi.fn();
    for (const holder of [near, { changed: () => {}, missed }]) changes.tell(holder);
    const options = { clock, connectMs: 1_000, holder: '', leaseLost: () => {}, near, changes };
    const session = new SessionTransport(link as unknown as ChannelLink, options);
    let calls = 0;
    const ask = (key: string) => {
      const request = GetOrLockRequest.fromPartial({ key });
      session.askGetOrLock(
        request,
        { deadlineMs: 60_000 },
        () => {},
        () => {},
      );
      calls += 1;
      return calls;
    };
    const hear = (message: Partial<SessionResponse>) =>
      stream.emit('data', { welcome: undefined, replies: [], events: [], ...message });
    const reply = (id: number): SessionReply => ({
      ...{ id, more: false },
      response: { $case: 'getOrLock', value: hit(60_000) },
    });
    const known = ask('known');
    hear({ welcome: { resumeToken: '' } as SessionResponse['welcome'], replies: [reply(known)] });
    return { near, missed, ask, hear, reply };
  };
  const beat = { events: [{ event: { $case: 'beat', value: {} } }] } as const;

  it.each([
    [2_999, 0, true],
    [3_000, 1, false],
  ])('drops what there is and what is under way: %s ms', (stoodMs, times, isKept) => {
    const { near, missed, ask, hear, reply } = welcomed();
    const underWay = ask('under way');
    nowMs += stoodMs;
    hear({ events: [...beat.events] });
    hear({ replies: [reply(underWay)] });
    expect(missed).toHaveBeenCalledTimes(times);
    expect(['known', 'under way'].map((key) => near.get('', key) !== undefined)).toEqual([isKept, isKept]);
    // It confirms what is asked from now on.
    hear({ replies: [reply(ask('next'))] });
    expect(near.get('', 'next')).toBeDefined();
  });

  it('counts from the last beat, not from the welcome', () => {
    const { near, missed, hear } = welcomed();
    for (let beats = 0; beats < 5; beats += 1) {
      nowMs += 2_000;
      hear({ events: [...beat.events] });
    }
    expect(missed).not.toHaveBeenCalled();
    expect(near.get('', 'known')).toBeDefined();
  });
});

it('extends a lease at once whose answer lay unread for most of its time', async () => {
  const service = await FakeService.start();
  const client = service.client({ session: false });
  const runs = performance.now.bind(performance);
  let stoodMs = 0;
  const now = vi.spyOn(performance, 'now').mockImplementation(() => runs() + stoodMs);
  service.will('getOrLock', () => {
    stoodMs = 25_000;
    return lease('token', 30_000);
  });
  service.will('extend', { outcome: 1, expiresInMs: 30_000 });
  service.will('publish', published(1));
  try {
    const rebuild = async () => {
      // The first third of what it says would end in ten seconds.
      await vi.waitFor(() => expect(service.requests('extend')).toHaveLength(1));
      return bytes('v');
    };
    expect(String(await client.getOrRebuild('k', rebuild, { codec: raw, ttlMs: 60_000 }))).toBe('v');
  } finally {
    now.mockRestore();
    service.stop();
  }
});
