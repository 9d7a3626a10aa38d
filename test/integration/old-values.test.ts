import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  Degraded,
  type GetOrLockResponse,
  PublishOutcome,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { until } from '../support/until.js';

// What READ_NEAR, the default, returns on real replicas after a value was invalidated.

const LONG_MS = 3_600_000;

describeWithRedis('after an invalidation', () => {
  let fleet: Fleet;
  let callers: Caller[];
  beforeAll(async () => {
    fleet = await Fleet.start({ replicas: 2 });
    callers = fleet.replicas.map(({ target }) => new Caller(target));
    await Promise.all(callers.map((caller) => caller.connect()));
  });
  afterAll(async () => {
    for (const caller of callers ?? []) caller.close();
    await fleet?.stop();
  });
  const at = (replica: 0 | 1) => callers[replica] as Caller;
  const isOld = (answer: GetOrLockResponse) => answer.outcome?.$case === 'hit' && textOf(answer) === 'old';

  /** Publishes a value, and waits until both replicas serve it. */
  async function near(key: string): Promise<void> {
    const { token } = await at(0).lease({ key });
    await at(0).publish({
      key,
      token,
      payload: { $case: 'value', value: Buffer.from('old') },
      ttlMs: LONG_MS,
    });
    for (const replica of [0, 1] as const) {
      await until(async () => isOld(await at(replica).getOrLock({ key, waitMs: 0 })));
    }
  }

  it('the replica that ran it does not serve the old value once it has answered', async () => {
    for (let round = 0; round < 200; round += 1) {
      const key = `own ${round}`;
      const { token } = await at(0).lease({ key });
      await at(0).publish({
        key,
        token,
        payload: { $case: 'value', value: Buffer.from('old') },
        ttlMs: LONG_MS,
      });
      await at(0).getOrLock({ key });
      await at(0).invalidate({ keys: [key] });
      const answer = await at(0).getOrLock({ key, waitMs: 0 });
      expect(isOld(answer), key).toBe(false);
    }
  });

  it('a replica that was stopped meanwhile reads the store before it trusts its near cache', async () => {
    for (const key of ['first asked', 'second asked']) await near(key);
    fleet.replicas[0]?.signal('SIGSTOP');
    await at(1).invalidate({ keys: ['first asked', 'second asked'] });
    await sleep(2_500);
    const asked = ['first asked', 'second asked'].map((key) => at(0).getOrLock({ key, waitMs: 2_000 }));
    fleet.replicas[0]?.signal('SIGCONT');
    for (const answer of await Promise.all(asked)) expect(isOld(answer)).toBe(false);
  });

  it('a lease from when the store hung does not serve its old value to waiters', async () => {
    const key = 'unstored';
    fleet.store.hang();
    // A hanging store is late at first, and counts as lost only after two seconds of silence.
    const given = await at(0).getOrLock({ key, leaseMs: 20_000, waitMs: 15_000 });
    fleet.store.resume();
    const lease = given.outcome?.$case === 'lease' ? given.outcome.value : undefined;
    expect([lease?.fence, given.degraded]).toEqual([0, Degraded.DEGRADED_STORE_LOST]);
    // The store is back, and the source has changed.
    await until(async () => {
      const answer = await at(1)
        .invalidate({ keys: [key] })
        .catch(() => undefined);
      return answer !== undefined;
    });
    await sleep(300);
    const late = at(0).getOrLock({ key, waitMs: 3_000 });
    await sleep(100);
    const published = await at(0).publishText(key, lease?.token ?? '', 'old');
    expect(published).toMatchObject({
      outcome: PublishOutcome.PUBLISH_OUTCOME_NOT_STORED,
      maybeStored: false,
    });
    expect(isOld(await late)).toBe(false);
  });
});
