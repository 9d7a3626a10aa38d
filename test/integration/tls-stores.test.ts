import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyOf } from '../../src/coordination/words/key.js';
import type { Diagnosis } from '../../src/doctor/finding.js';
import { Degraded, Read } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { recordKey } from '../../src/redis/keys.js';
import { Caller, textOf } from '../support/caller.js';
import { TestAuthority } from '../support/certificates.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { examined } from '../support/doctor.js';
import { PATIENT_ENV } from '../support/patience.js';
import { RedisServer } from '../support/redis-server.js';
import { Replica } from '../support/replica.js';
import { type ReplicatedStore, startClusterStore, startSentinelStore } from '../support/replicated-store.js';
import { until } from '../support/until.js';

// A store of several servers, with TLS on every connection.

/** Sentinels whose machine stalled do nothing for 30 s. */
const FAILOVER_MS_MAX = 90_000;

const STORES: [string, (options: { authority: TestAuthority }) => Promise<ReplicatedStore>][] = [
  ['rediss+sentinel', startSentinelStore],
  ['rediss+cluster', startClusterStore],
];

describeWithRedis('a value store of several servers, over TLS', () => {
  describe.each(STORES)('%s://', (scheme, startStore) => {
    const authority = new TestAuthority();
    let store: ReplicatedStore;
    let nodes: RedisServer[] = [];
    let replicas: Replica[] = [];
    let env: Record<string, string>;

    beforeAll(async () => {
      store = await startStore({ authority });
      nodes = await Promise.all([1, 2, 3].map(() => RedisServer.start()));
      env = {
        ...PATIENT_ENV,
        DIBS_QUORUM_NODES: nodes.map(({ url }) => url).join(','),
        DIBS_STORE_URL: store.url,
        DIBS_REDIS_CA: authority.ca,
      };
      replicas = await Promise.all([Replica.start(env), Replica.start(env)]);
    });
    afterAll(async () => {
      await Promise.all(replicas.map((replica) => replica.kill()));
      await Promise.all(nodes.map((node) => node.stop()));
      await store?.stop();
      authority.close();
    });

    it('serves, wakes and survives a failover', { timeout: 2 * FAILOVER_MS_MAX }, async () => {
      expect(store.url).toMatch(`${scheme}://`);
      const [one, two] = replicas.map(({ target }) => new Caller(target)) as [Caller, Caller];
      const ask = async (caller: Caller, key: string) =>
        (await caller.getOrLock({ key, waitMs: 0, read: Read.READ_STORE })).degraded;
      // On a busy machine, a replica may not have reached all servers yet.
      for (const caller of [one, two])
        await expect.poll(() => ask(caller, `first ${Math.random()}`)).toBe(Degraded.DEGRADED_NONE);
      const round = async (key: string) => {
        const lease = await one.lease({ key });
        const waiting = two.getOrLock({ key });
        await one.publishText(key, lease.token, key);
        const answer = await waiting;
        expect([textOf(answer), answer.degraded]).toEqual([key, Degraded.DEGRADED_NONE]);
      };
      await round('before');
      const master = await store.masterOf(recordKey(keyOf('default', 'before').id));
      await until(async () => (await master.replicas()) > 0);
      await master.kill();
      for (const caller of [one, two]) {
        await until(async () => (await ask(caller, 'before')) === Degraded.DEGRADED_NONE, FAILOVER_MS_MAX);
      }
      await round('after');
      one.close();
      two.close();
    });

    it('is healthy according to `dibs doctor`', async () => {
      let findings: Diagnosis['findings'] = [];
      // On a busy machine, a check may take too long.
      const faults = async () => {
        ({ findings } = await examined(env));
        return findings.filter(({ result }) => result === 'fault');
      };
      await expect.poll(faults, { timeout: 60_000 }).toEqual([]);
      expect(findings.map(({ part, check }) => `${part}: ${check}`)).toEqual(
        expect.arrayContaining(['value store: certificate', 'end to end: wake']),
      );
    });

    it('is not trusted without its authority, which the log reports', async () => {
      const { DIBS_REDIS_CA: _ca, ...untrusting } = env;
      const replica = await Replica.start(untrusting);
      await until(async () => /signed by an unknown authority; set DIBS_REDIS_CA/.test(replica.log));
      const caller = new Caller(replica.target);
      // The connection reports the fault of the certificate. Until then the store may only be late.
      const degraded = async () => (await caller.getOrLock({ key: 'x', waitMs: 0 })).degraded;
      await expect.poll(degraded, { timeout: 30_000 }).toBe(Degraded.DEGRADED_STORE_LOST);
      caller.close();
      await replica.kill();
    });
  });
});
