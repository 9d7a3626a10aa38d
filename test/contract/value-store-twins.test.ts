import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ValueStore } from '../../src/coordination/ports/value-store.js';
import type { KeyRecord } from '../../src/coordination/words/record.js';
import { MemoryValueStore } from '../../src/memory/value-store.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';
import { SystemClock } from '../../src/system-clock.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { startRedisStore } from '../support/redis-store.js';
import { SeededRandom } from '../support/seeded-random.js';
import { LONG_MS, type StoreUnderTest } from '../support/store-trial.js';

const SEQUENCES = 400;
const SEQUENCES_AT_ONCE = 20;
const STEPS = 16;
/** Expires before the next step, after a pause. Everything else outlasts the test. */
const SHORT_MS = 1;
const PAUSE_MS = 8;

/**
 * What one store has returned for a key. The twins' clocks differ, so fences are compared, and named by steps, by their
 * place in the order in which they appeared.
 */
class Seen {
  readonly fences: number[] = [0];
  readonly reads: KeyRecord[] = [{ fence: 0, valueFence: 0 }];

  placeOf(fence: number): number {
    const place = this.fences.indexOf(fence);
    if (place >= 0) return place;
    expect(fence, 'a new fence is the highest so far').toBeGreaterThan(this.fences.at(-1) ?? 0);
    return this.fences.push(fence) - 1;
  }

  /** Returns the reply with places for fences, and times in tenths of LONG_MS: the twins are milliseconds apart. */
  comparable(reply: unknown, name = ''): unknown {
    if (typeof reply === 'number' && /fence$/i.test(name)) return this.placeOf(reply);
    if (typeof reply === 'number' && /Ms$/.test(name)) return Math.round(reply / (LONG_MS / 10)) + 0;
    if (reply instanceof Uint8Array) return Buffer.from(reply).toString('hex');
    if (typeof reply !== 'object' || reply === null) return reply;
    return Object.fromEntries(
      Object.entries(reply).map(([key, value]) => [key, this.comparable(value, key)]),
    );
  }
}

/** Most steps use the same lock nodes. */
const GROUPS = ['one', 'one', 'one', 'other'];

type Step = (store: ValueStore, id: string, seen: Seen) => Promise<unknown>;

/** All random draws come before the step, so both twins take the same step. */
const draws: Record<string, (random: SeededRandom, nonce: string, lifeMs: number, keepMs: number) => Step> = {
  arm: (random, nonce, lifeMs, keepMs) => {
    // Mostly with the last read, sometimes with the one before.
    const back = random.pick([-1, -1, -1, -2]);
    const quorumLost = random.pick([false, false, true]);
    const silenceMs = random.pick([0, lifeMs]);
    const group = random.pick(GROUPS);
    const labels = {
      holder: `h${random.below(9)}`,
      traceparent: 't',
      clock: `clock.${random.below(3)}`,
      requestKey: nonce,
      reason: 'miss' as const,
    };
    const terms = {
      nonce,
      expiresInMs: lifeMs,
      leaseMs: lifeMs,
      quorumLost,
      group,
      silenceMs,
      keepMs,
      ...labels,
    };
    return (store, id, seen) => {
      const { fence: fenceRead, valueFence: valueFenceRead } = seen.reads.at(back) ?? {
        fence: 0,
        valueFence: 0,
      };
      return store.arm(id, { ...terms, fenceRead, valueFenceRead });
    };
  },
  adopt: (random, nonce, leaseMs) => {
    const labels = { leaseMs, holder: 'next', traceparent: '', requestKey: 'r', reason: 'miss' } as const;
    const to = random.pick([undefined, { ...labels, owner: 1 }, { ...labels, owner: 2 }]);
    return (store, id) => store.adopt(id, nonce, to);
  },
  publish: (random, nonce, ttlMs, keepMs) => {
    const bytes = random.bytes(random.pick([0, 1, 40, 200]));
    const payload = random.pick([{ kind: 'value', bytes } as const, { kind: 'absent' } as const]);
    const staleMs = random.pick([0, SHORT_MS, LONG_MS]);
    const tags = random.pick([[], ['a', '"b"\n']]);
    const back = random.pick([-1, -2]);
    return (store, id, seen) =>
      store.publish(id, { nonce, fence: seen.fences.at(back) ?? 0, payload, ttlMs, staleMs, tags, keepMs });
  },
  release: (random, nonce, _lifeMs, keepMs) => {
    const owner = random.pick([{}, { owner: 1 }, { owner: 2 }]);
    return (store, id) => store.release(id, { nonce, end: 'released', keepMs, ...owner });
  },
  fail: (random, nonce, _lifeMs, keepMs) => {
    const asked = random.pick([{}, { retryAfterMs: 0 }, { retryAfterMs: LONG_MS }]);
    const message = `m${random.below(9)}`;
    const failure = { message, backoffMs: 0.4 * LONG_MS, backoffMsMax: LONG_MS, ...asked };
    return (store, id) => store.release(id, { nonce, end: 'failed', failure, keepMs });
  },
  extend: (random, nonce, expiresInMs, keepMs) => {
    const quorumLost = random.pick([false, true]);
    const terms = { nonce, expiresInMs, holdMs: 86_400_000, quorumLost, group: random.pick(GROUPS), keepMs };
    return (store, id) => store.extend(id, terms);
  },
  invalidate: (random, _nonce, _lifeMs, keepMs) => {
    const mode = random.pick(['delete', 'mark_stale'] as const);
    return (store, id) => store.invalidate(id, { mode, keepMs });
  },
};

const NAMES = ['arm', 'arm', 'arm', 'arm', 'publish', 'publish', 'publish', ...Object.keys(draws)];

/** Takes one random sequence of steps on both stores. Compares every reply and the record after it. */
async function compareTwins(seed: number, one: ValueStore, other: ValueStore, id: string): Promise<string[]> {
  const random = new SeededRandom(seed);
  const seenOf = new Map([one, other].map((store) => [store, new Seen()]));
  const taken: string[] = [];
  for (let at = 0; at < STEPS; at++) {
    const name = random.pick(NAMES);
    const nonce = random.pick(['n1', 'n2', 'n3']);
    const lifeMs = random.pick([SHORT_MS, LONG_MS, LONG_MS, 2 * LONG_MS]);
    const keepMs = random.pick([SHORT_MS, LONG_MS, LONG_MS]);
    const step = draws[name]?.(random, nonce, lifeMs, keepMs);
    const replies = await Promise.all([...seenOf].map(([store, seen]) => step?.(store, id, seen)));
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const shown = await Promise.all(
      [...seenOf].map(async ([store, seen], twin) => {
        const { record: measured, past } = await store.explain(id);
        const record = await store.read(id);
        seen.reads.push(record);
        return {
          reply: seen.comparable(replies[twin]),
          record: seen.comparable(record),
          measured: seen.comparable(measured),
          past: seen.comparable(past),
        };
      }),
    );
    taken.push(name);
    expect(shown[1], `seed ${seed}, after ${taken.join(', ')} of ${nonce}`).toEqual(shown[0]);
    taken.push(...outcomesIn(replies[0]));
  }
  return taken;
}

/**
 * If a busy machine stalls a step for longer than the pause, something may have expired at one twin only. A real
 * difference shows in every attempt.
 */
async function compareAgain(seed: number, one: ValueStore, other: ValueStore): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await compareTwins(seed, one, other, `twins-${seed}-${attempt}`);
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

/** Returns the outcomes in a reply as words, which shows that the sequences reach every outcome. */
function outcomesIn(reply: unknown): string[] {
  if (typeof reply === 'string') return [reply];
  if (typeof reply !== 'object' || reply === null) return [];
  return Object.entries(reply).flatMap(([key, value]) => {
    if (key === 'outcome') return [String(value)];
    return typeof value === 'boolean' ? [`${key} ${value}`] : [];
  });
}

describeWithRedis('the twins of the value store', () => {
  let redis: StoreUnderTest;
  beforeAll(async () => {
    redis = await startRedisStore();
  });
  afterAll(() => redis.close());

  test(`answer ${SEQUENCES} random sequences alike`, async () => {
    const memory = new MemoryValueStore({ clock: new SystemClock(), wakes: new MemoryWakeChannel() });
    const met = new Set<string>();
    for (let seed = 0; seed < SEQUENCES; seed += SEQUENCES_AT_ONCE) {
      const seeds = Array.from({ length: SEQUENCES_AT_ONCE }, (_, at) => seed + at);
      const taken = await Promise.all(seeds.map((each) => compareAgain(each, memory, redis.store)));
      for (const word of taken.flat()) met.add(word);
    }
    expect([...met].sort()).toEqual(
      [
        ...Object.keys(draws),
        ...[
          'armed true',
          'armed false',
          'extended true',
          'extended false',
          'hadValue true',
          'hadValue false',
        ],
        ...['stored', 'stored_late', 'duplicate', 'superseded', 'invalidated', 'unknown_lease'],
        ...['released', 'not_held'],
      ].sort(),
    );
  });
});
