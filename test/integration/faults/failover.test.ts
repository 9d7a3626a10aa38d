import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseStoreUrl } from '../../../src/config/store-url.js';
import { keyOf } from '../../../src/coordination/words/key.js';
import { Degraded, PublishOutcome, Read } from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { StoreConnection } from '../../../src/redis/connection.js';
import { recordKey } from '../../../src/redis/keys.js';
import { Caller, textOf } from '../../support/caller.js';
import { describeWithRedis } from '../../support/describe-with-redis.js';
import { MUCH_PATIENCE } from '../../support/patience.js';
import { RedisServer } from '../../support/redis-server.js';
import { Replica } from '../../support/replica.js';
import {
  type ReplicatedStore,
  startClusterStore,
  startSentinelStore,
} from '../../support/replicated-store.js';
import { runningMs } from '../../support/running-ms.js';
import { until } from '../../support/until.js';

// What a failover of the value store costs: some rebuilds, but never an old value or a call without an answer.

const LEASE_MS = 1_000;
/** Outlasts a machine that is held up for a moment. */
const LONG_LEASE_MS = 30_000;
/** The earliest poll of a waiter. */
const POLL_MS_MIN = 250;
/** The other server takes over some seconds after the first fell silent. Sentinels that stalled do nothing for 30 s. */
const FAILOVER_MS_MAX = 90_000;
/** A call that waits 200 ms. One that is forgotten takes much longer. */
const ANSWER_MS_MAX = 10_000;

const STORES: [string, () => Promise<ReplicatedStore>][] = [
  ['Sentinel', startSentinelStore],
  ['a Redis Cluster', startClusterStore],
];

describeWithRedis('a failover of the value store', () => {
  describe.each(STORES)('by %s', (_name, startStore) => {
    let store: ReplicatedStore;
    let nodes: RedisServer[];
    let replicas: Replica[];
    let callers: Caller[];

    beforeEach(async () => {
      store = await startStore();
      nodes = await Promise.all([1, 2, 3].map(() => RedisServer.start()));
      const env = {
        DIBS_QUORUM_NODES: nodes.map(({ url }) => url).join(','),
        DIBS_STORE_URL: store.url,
        DIBS_LEASE_MS: `${LEASE_MS}`,
      };
      replicas = await Promise.all([1, 2].map(() => Replica.start(env)));
      callers = replicas.map(({ target }) => new Caller(target));
      await recovered('at the start');
    });
    afterEach(async () => {
      for (const caller of callers ?? []) caller.close();
      await Promise.all((replicas ?? []).map((replica) => replica.kill()));
      await Promise.all((nodes ?? []).map((node) => node.stop()));
      await store?.stop();
    });

    const recordOf = (key: string) => recordKey(keyOf('default', key).id);

    /** Asks and rebuilds through each replica in turn until a result is stored. Every call must be answered in time. */
    async function rebuilt(key: string): Promise<{ text: string; fence: number; degraded: Set<Degraded> }> {
      const degraded = new Set<Degraded>();
      const untilMs = performance.now() + FAILOVER_MS_MAX;
      for (let at = 0; performance.now() < untilMs; at += 1) {
        const caller = callers[at % callers.length] as Caller;
        const asked = caller.getOrLock({ key, waitMs: 200, read: Read.READ_STORE });
        expect(await runningMs(() => asked)).toBeLessThan(ANSWER_MS_MAX);
        const answer = await asked;
        degraded.add(answer.degraded);
        if (answer.outcome?.$case !== 'lease') {
          await sleep(20);
          continue;
        }
        const { token, fence } = answer.outcome.value;
        const text = `under ${fence}`;
        const { outcome } = await caller.publishText(key, token, text);
        if (outcome === PublishOutcome.PUBLISH_OUTCOME_STORED) return { text, fence, degraded };
      }
      throw new Error(`no publish was stored within ${FAILOVER_MS_MAX} ms: ${[...degraded]}`);
    }

    /** Waits until every replica works without degradation again. */
    async function recovered(key: string): Promise<void> {
      for (const caller of callers) {
        await until(async () => {
          const { degraded } = await caller.getOrLock({ key, waitMs: 0 });
          return degraded === Degraded.DEGRADED_NONE;
        }, FAILOVER_MS_MAX);
      }
    }

    async function everyoneHas(key: string, text: string): Promise<void> {
      for (const caller of callers) {
        const answer = await caller.getOrLock({ key, waitMs: 20_000, read: Read.READ_STORE });
        expect(textOf(answer)).toBe(text);
      }
    }

    it('with a killed master: leases continue, and the new master stores, wakes and raises fences', async () => {
      const key = 'killed';
      const [one, two] = callers as [Caller, Caller];
      const before = await one.lease({ key });
      await one.publishText(key, before.token, 'before', 10_000);
      await everyoneHas(key, 'before');
      const master = await store.masterOf(recordOf(key));
      await master.kill();
      const { text, fence, degraded } = await rebuilt(key);
      expect(fence).toBeGreaterThan(before.fence);
      // Without the store a miss still got a lease.
      expect(degraded).toContain(Degraded.DEGRADED_STORE_LOST);
      await recovered(key);
      await everyoneHas(key, text);

      // Subscriptions have found the new master too: a waiter of another replica is woken.
      let round = 0;
      await until(async () => {
        round += 1;
        const key = `woken ${round}`;
        const lease = await one.lease({ key, leaseMs: LONG_LEASE_MS });
        const waiting = two.getOrLock({ key, waitMs: 25_000 });
        await sleep(60);
        const publishedMs = performance.now();
        await one.publishText(key, lease.token, 'v');
        expect(textOf(await waiting)).toBe('v');
        return performance.now() - publishedMs < POLL_MS_MIN / 2;
      }, FAILOVER_MS_MAX);
    });

    it('with a silent master: what it still has when it resumes is never served', async () => {
      const key = 'silent';
      const [one] = callers as [Caller];
      const before = await one.lease({ key });
      await one.publishText(key, before.token, 'before');
      await everyoneHas(key, 'before');
      const master = await store.masterOf(recordOf(key));
      await until(async () => (await master.replicas()) > 0);
      await sleep(100);
      master.hang();
      try {
        await until(async () => (await store.masterOf(recordOf(key))) !== master, FAILOVER_MS_MAX);
        // The new master has the value. An invalidation removes it there, and not on the old master.
        await until(
          () =>
            one.invalidate({ keys: [key] }).then(
              () => true,
              () => false,
            ),
          FAILOVER_MS_MAX,
        );
      } finally {
        master.resume();
      }
      const untilMs = performance.now() + 2_000;
      while (performance.now() < untilMs) {
        for (const caller of callers) {
          const { outcome } = await caller.getOrLock({ key, waitMs: 0, read: Read.READ_STORE });
          expect(outcome?.$case).not.toBe('hit');
        }
        await sleep(10);
      }
      const { text, fence } = await rebuilt(key);
      expect(fence).toBeGreaterThan(before.fence);
      await recovered(key);
      await everyoneHas(key, text);
    });
  });

  it('skips a sentinel that hangs', async () => {
    const store = await startSentinelStore();
    const [first] = store.sentinels as [RedisServer];
    first.hang();
    const connection = new StoreConnection(parseStoreUrl(store.url), MUCH_PATIENCE);
    try {
      await until(() =>
        connection.ping().then(
          () => true,
          () => false,
        ),
      );
    } finally {
      connection.close();
      first.resume();
      await store.stop();
    }
  });
});
