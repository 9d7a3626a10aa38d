import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { Coordinator, type CoordinatorParts } from '../../src/coordination/coordinator.js';
import type { Clock } from '../../src/coordination/ports/clock.js';
import { STAMPS_MAX } from '../../src/coordination/ports/namespace-store.js';
import { NO_OBSERVER } from '../../src/coordination/ports/observer.js';
import { Call } from '../../src/coordination/words/call.js';
import { type Key, keyOf } from '../../src/coordination/words/key.js';
import { defaultPolicy } from '../../src/coordination/words/policy.js';
import { MemoryLeaseQuorum } from '../../src/memory/lease-quorum.js';
import { MemoryNamespaceStore } from '../../src/memory/namespace-store.js';
import { MemoryValueStore } from '../../src/memory/value-store.js';
import { MemoryWakeChannel } from '../../src/memory/wake-channel.js';
import { SystemChance } from '../../src/system-chance.js';
import { SystemClock } from '../../src/system-clock.js';
import { LIMITS } from '../support/coordination-trial.js';
import { ManualClock } from '../support/manual-clock.js';
import { RedisServer } from '../support/redis-server.js';
import { connectRedisStore } from '../support/redis-store.js';
import { describeWithShiftedRedis, ShiftedClock } from '../support/shifted-clock.js';
import { textValue } from '../support/store-trial.js';
import { until } from '../support/until.js';

// `npm run test:long` runs it in full: 100,000 keys, 10,000 namespaces, 1,000,000 tags.
const SCALE = process.env.DIBS_TEST_LONG === '1' ? 1 : 0.1;
const KEYS = 100_000 * SCALE;
const NAMESPACES = 10_000 * SCALE;
const TAGS = 1_000_000 * SCALE;
const TAGS_A_CALL = 16;
const DAY_MS = 86_400_000;
/** One call every few seconds. Each call drops some of what has expired. */
const CALLS_A_DAY = 60_000 * SCALE;
/** What the engine and the test runner keep in a collected heap after such a run. */
const NOISE_BYTES = (SCALE === 1 ? 24 : 12) * 2 ** 20;

/** A replica and its callers. */
class Traffic {
  readonly coordinator: Coordinator;

  constructor(
    authorities: Pick<CoordinatorParts, 'store' | 'namespaces' | 'quorum' | 'wakes' | 'clock'>,
    limits = LIMITS,
  ) {
    const policy = { ...defaultPolicy(limits), leaseHoldMsMax: 4 * limits.leaseMsMax };
    this.coordinator = new Coordinator({
      ...{ limits, policyOf: () => policy, observer: NO_OBSERVER, chance: new SystemChance() },
      ...{ nearCacheBytes: 1_000_000, ...authorities },
    });
  }

  read(key: Key, intent: 'read' | 'rebuild' = 'read') {
    // On a busy machine, a rebuilding caller may have to wait for the store.
    const waitMs = intent === 'rebuild' ? LIMITS.waitMsMax : 0;
    const request = { key, intent, waitMs, requestId: '', holder: 'a holder', read: 'store' } as const;
    return this.coordinator.getOrLock(request, new Call());
  }

  async rebuild(key: Key, tags: readonly string[], ttlMs: number) {
    const { outcome } = await this.read(key, 'rebuild');
    if (outcome.kind !== 'lease') throw new Error(`expected a lease, got ${outcome.kind}`);
    const payload = textValue('v'.repeat(100));
    await this.coordinator.publish({ key, token: outcome.token, payload, ttlMs, tags }, new Call());
  }

  invalidateTags(namespace: string, tags: readonly string[]) {
    return this.coordinator.invalidate({ namespace, keys: [], tags, all: false, mode: 'delete' }, new Call());
  }
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe('everything in memory', () => {
  test('returns to its initial size a day after many keys, namespaces and tags', async () => {
    const clock = new ManualClock();
    const wakes = new MemoryWakeChannel();
    const store = new MemoryValueStore({ clock, wakes });
    const namespaces = new MemoryNamespaceStore({ clock, wakes, chance: new SystemChance() });
    const quorum = new MemoryLeaseQuorum({ clock });
    const traffic = new Traffic({ clock, wakes, store, namespaces, quorum });
    const sizes = () => [store.size, namespaces.size, quorum.size];
    const { coordinator } = traffic;
    const burst = async (of: number) => {
      for (let at = 0; at < KEYS * of; at++)
        await traffic.rebuild(keyOf('tagged', `${at}`), [`user ${at}`], 60_000);
      for (let at = 0; at < NAMESPACES * of; at++) await traffic.read(keyOf(`read-${at}`, 'a key'));
      expect(namespaces.size).toBe(1);
      for (let at = 0; at < NAMESPACES * of; at++)
        await traffic.rebuild(keyOf(`used-${at}`, 'a key'), [], 60_000);
      for (let at = 0; at < TAGS * of; at += TAGS_A_CALL) {
        const tags = Array.from({ length: TAGS_A_CALL }, (_, tag) => `user ${at + tag}`);
        await traffic.invalidateTags('tagged', tags);
      }
    };
    const day = async () => {
      for (let at = 0; at < CALLS_A_DAY; at++) {
        await traffic.read(keyOf('other', 'a key'));
        clock.advance(DAY_MS / CALLS_A_DAY);
      }
    };
    await burst(0.05);
    await day();
    const [began, beganBytes] = [sizes(), heapBytes()];
    expect(began).toEqual([0, 0, 0]);

    await burst(1);
    expect(sizes()[0]).toBeGreaterThanOrEqual(KEYS);
    expect(namespaces.stampsOf('tagged')).toBe(Math.min(STAMPS_MAX, TAGS));
    const peakBytes = heapBytes();
    expect(peakBytes - beganBytes).toBeGreaterThan(NOISE_BYTES);
    await day();
    expect(sizes()).toEqual(began);
    expect([coordinator.waiters, coordinator.leasesHeld, clock.timers]).toEqual([0, 0, 0]);
    expect(coordinator.nearCacheBytes).toBeLessThanOrEqual(1_000_000);
    const leftBytes = heapBytes() - beganBytes;
    console.log(`heap: ${mib(peakBytes - beganBytes)} MiB at the peak, ${mib(leftBytes)} MiB a day later`);
    expect(leftBytes).toBeLessThan(NOISE_BYTES);
  }, 600_000);
});

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

describeWithShiftedRedis('a store on Redis', () => {
  /** Concurrent calls. */
  const IN_FLIGHT = 64;
  const HOURS = 24;
  /** Longer than all calls take on a busy machine. */
  const TTL_MS = 3_600_000;
  const MIB = 2 ** 20;

  test('returns to its initial size a day of its own clock after many keys, namespaces and tags', async () => {
    const shifted = ShiftedClock.create();
    if (shifted === undefined) throw new Error('test/support/clock-shift.c cannot be built');
    const server = await RedisServer.start({ env: shifted.env });
    const under = await connectRedisStore(server.url);
    const own = new SystemClock();
    let hours = 0;
    const clock: Clock = {
      nowMs: () => own.nowMs() + hours * 3_600_000,
      after: (ms, fire) => own.after(ms, fire),
      turn: () => own.turn(),
    };
    const quorum = new MemoryLeaseQuorum({ clock });
    const { store, namespaces, channel: wakes } = under;
    const traffic = new Traffic(
      { clock, quorum, store, namespaces, wakes },
      { ...LIMITS, waitersMax: 1_000 },
    );
    const count = async () => Number(await server.command('DBSIZE'));
    const usedBytes = async () =>
      Number(/^used_memory:(\d+)/m.exec(await server.command('INFO', 'memory'))?.[1]);
    const each = async (many: number, one: (at: number) => Promise<unknown>, step = 1) => {
      let next = 0;
      const some = async () => {
        for (let at = next; at < many; at = next) {
          next += step;
          await one(at);
        }
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, some));
    };
    const burst = async (name: string, of: number) => {
      await each(NAMESPACES * of, (at) => traffic.read(keyOf(`${name}-read-${at}`, 'a key')));
      expect(await count()).toBe(0);
      await each(NAMESPACES * of, (at) => traffic.rebuild(keyOf(`${name}-used-${at}`, 'a key'), [], TTL_MS));
      await each(KEYS * of, (at) => traffic.rebuild(keyOf(name, `${at}`), [`user ${at}`], TTL_MS));
      const tags = (at: number) => Array.from({ length: TAGS_A_CALL }, (_, tag) => `user ${at + tag}`);
      await each(TAGS * of, (at) => traffic.invalidateTags(name, tags(at)), TAGS_A_CALL);
    };
    const day = async () => {
      for (let hour = 0; hour < HOURS; hour += 1) {
        hours += 1;
        shifted.jumpTo(hours * 3_600);
        for (let at = 0; at < 10; at += 1) await traffic.read(keyOf('other', 'a key'));
      }
      // Redis removes expired keys little by little.
      await until(async () => (await count()) === 0, 100_000);
    };
    try {
      // Redis loads its scripts, and its tables grow for the first keys.
      await burst('first', 0.05);
      await day();
      const [began, beganBytes] = [await usedBytes(), heapBytes()];

      await burst('second', 1);
      expect(await count()).toBeGreaterThanOrEqual(KEYS + NAMESPACES);
      const peak = await usedBytes();
      expect(peak - began).toBeGreaterThan(10 * MIB);
      await day();
      const { coordinator } = traffic;
      expect([coordinator.waiters, coordinator.leasesHeld]).toEqual([0, 0]);
      let left = (await usedBytes()) - began;
      // Its tables and the buffers of its clients shrink afterwards.
      await until(async () => {
        left = (await usedBytes()) - began;
        return left < MIB;
      });
      const leftBytes = heapBytes() - beganBytes;
      console.log(`Redis: ${mib(peak - began)} MiB at the peak, ${mib(left)} MiB a day later`);
      console.log(`heap of its replica: ${mib(leftBytes)} MiB more a day later`);
      expect(leftBytes).toBeLessThan(NOISE_BYTES);
    } finally {
      traffic.coordinator.close();
      await under.close();
      await server.stop();
      shifted.remove();
    }
  }, 3_600_000);
});
