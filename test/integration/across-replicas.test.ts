import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  BusyReason,
  ExtendOutcome,
  type GetOrLockResponse,
  LeaseReason,
  PublishOutcome,
  Read,
  ReleaseOutcome,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { PATIENT_ENV } from '../support/patience.js';
import { SessionCaller } from '../support/session-caller.js';
import { waitersOf } from '../support/waiters.js';

/** Too long for any lease to end during these tests. */
const LEASE_MS = 30_000;
/** The earliest poll of a waiter. What it learns before that came by a wake. */
const POLL_MS_MIN = 250;

describeWithRedis('several replicas', () => {
  let fleet: Fleet;
  let callers: Caller[];
  let [one, two, three]: Caller[] = [];

  beforeAll(async () => {
    fleet = await Fleet.start({ replicas: 3, env: PATIENT_ENV });
    callers = fleet.replicas.map(({ target }) => new Caller(target));
    [one, two, three] = callers;
    await Promise.all(callers.map((caller) => caller.connect()));
  });
  afterAll(async () => {
    for (const caller of callers ?? []) caller.close();
    await fleet?.stop();
  });

  it('keep a lease that another session extends, and end it with that session', async () => {
    const key = 'taken over';
    const [first, second] = [
      await SessionCaller.open(fleet.replicas[0]!.target),
      await SessionCaller.open(fleet.replicas[1]!.target),
    ];
    const { token } = await first.lease({ key, leaseMs: 5_000 });
    const extended = await second.replyTo(
      second.ask({ $case: 'extend', value: { namespace: '', key, token, leaseMs: LEASE_MS } }),
    );
    expect(extended).toMatchObject({ value: { outcome: ExtendOutcome.EXTEND_OUTCOME_EXTENDED } });
    // After the first end: the first replica does not report a loss, and the end of its session does not end the lease.
    await sleep(5_300);
    expect(first.events).toEqual([]);
    first.stream.cancel();
    const next = three!.getOrLock({ key, waitMs: 20_000, leaseMs: LEASE_MS });
    await sleep(300);
    expect((await two!.getOrLock({ key, waitMs: 0 })).outcome?.$case).toBe('busy');
    second.stream.cancel();
    expect((await next).outcome?.$case).toBe('lease');
  });

  it('end a lease with the session that has extended it last, also of two at one replica', async () => {
    const key = 'taken back';
    const { target } = fleet.replicas[0]!;
    const [first, second] = [await SessionCaller.open(target), await SessionCaller.open(target)];
    const { token } = await first.lease({ key, leaseMs: LEASE_MS });
    const value = { namespace: '', key, token, leaseMs: LEASE_MS };
    for (const session of [second, first]) {
      const extended = await session.replyTo(session.ask({ $case: 'extend', value }));
      expect(extended).toMatchObject({ value: { outcome: ExtendOutcome.EXTEND_OUTCOME_EXTENDED } });
    }
    second.stream.cancel();
    await sleep(300);
    const held = await one!.extend(value);
    expect(held.outcome).toBe(ExtendOutcome.EXTEND_OUTCOME_EXTENDED);
    const next = three!.getOrLock({ key, waitMs: 20_000, leaseMs: LEASE_MS });
    first.stream.cancel();
    expect((await next).outcome?.$case).toBe('lease');
  });

  /** Starts `count` callers that wait for `key` on a replica, and returns when all of them wait. */
  async function waiting(replica: number, key: string, count: number): Promise<Promise<GetOrLockResponse>[]> {
    const { httpUrl } = fleet.replicas[replica]!;
    const before = await waitersOf(httpUrl);
    const calls = Array.from({ length: count }, () => callers[replica]!.getOrLock({ key, waitMs: 20_000 }));
    await expect.poll(() => waitersOf(httpUrl)).toBe(before + count);
    return calls;
  }

  it('wake the waiters of all replicas with a publish', async () => {
    const key = 'wake';
    const lease = await one!.lease({ key, leaseMs: LEASE_MS });
    const calls = [
      ...(await waiting(0, key, 20)),
      ...(await waiting(1, key, 20)),
      ...(await waiting(2, key, 20)),
    ];
    const published = await two!.publishText(key, lease.token, 'fresh');
    expect(published).toMatchObject({
      outcome: PublishOutcome.PUBLISH_OUTCOME_STORED,
      fence: lease.fence,
      counts: true,
    });
    const answers = await Promise.all(calls);
    expect(new Set(answers.map(textOf))).toEqual(new Set(['fresh']));
    for (const { outcome } of answers) {
      expect(outcome).toMatchObject({ $case: 'hit', value: { fence: lease.fence, rebuilding: false } });
    }
  });

  it('wake waiters before their polls', async () => {
    // A busy machine is late in most rounds. Without a wake, every round would be late.
    let told = 0;
    for (let round = 1; told < 3; round += 1) {
      expect(round).toBeLessThan(100);
      const [published, invalidated] = [`told ${round}`, `told by invalidation ${round}`];
      const { token } = await one!.lease({ key: published, leaseMs: LEASE_MS });
      await one!.lease({ key: invalidated, leaseMs: LEASE_MS });
      const startedAtMs = performance.now();
      const calls = [published, invalidated].map((key) => two!.getOrLock({ key, waitMs: 20_000 }));
      await sleep(20);
      await one!.publishText(published, token, 'fresh');
      await three!.invalidate({ keys: [invalidated] });
      const [hit, lease] = (await Promise.all(calls)).map(({ outcome }) => outcome?.$case);
      expect([hit, lease]).toEqual(['hit', 'lease']);
      if (performance.now() - startedAtMs < POLL_MS_MIN) told += 1;
    }
  });

  it('give the same answers during a rebuild and after it', async () => {
    const key = 'same';
    const lease = await one!.lease({ key, leaseMs: LEASE_MS });
    const busy = await Promise.all(callers.map((caller) => caller.getOrLock({ key, waitMs: 0 })));
    for (const { outcome } of busy) {
      expect(outcome).toMatchObject({ $case: 'busy', value: { reason: BusyReason.BUSY_REASON_WAIT_ENDED } });
    }
    await one!.publishText(key, lease.token, 'known');
    const hits = await Promise.all(
      callers.map((caller) => caller.getOrLock({ key, waitMs: 0, read: Read.READ_STORE })),
    );
    expect(hits.map(textOf)).toEqual(['known', 'known', 'known']);
  });

  it('give the lease to exactly one waiter of the whole fleet on a release', async () => {
    const key = 'release';
    const lease = await one!.lease({ key, leaseMs: LEASE_MS });
    const calls = [...(await waiting(1, key, 10)), ...(await waiting(2, key, 10))];
    const { outcome } = await three!.release({ key, token: lease.token });
    expect(outcome).toBe(ReleaseOutcome.RELEASE_OUTCOME_RELEASED);

    const next = await Promise.race(calls);
    if (next.outcome?.$case !== 'lease') throw new Error(`expected a lease: ${JSON.stringify(next)}`);
    expect(next.outcome.value.fence).toBeGreaterThan(lease.fence);
    await two!.publishText(key, next.outcome.value.token, 'second try');
    const answers = await Promise.all(calls);
    expect(answers.filter(({ outcome }) => outcome?.$case === 'lease')).toHaveLength(1);
    expect(answers.filter((answer) => textOf(answer) === 'second try')).toHaveLength(19);
  });

  it('report a failure to every waiter, and to each caller during the back-off', async () => {
    const key = 'failure';
    const lease = await one!.lease({ key, leaseMs: LEASE_MS });
    const calls = [...(await waiting(1, key, 10)), ...(await waiting(2, key, 10))];
    await one!.release({
      key,
      token: lease.token,
      failure: { message: 'no such table', retryAfterMs: 20_000 },
    });
    const answers = [...(await Promise.all(calls)), await three!.getOrLock({ key })];
    for (const { outcome } of answers) {
      expect(outcome).toMatchObject({ $case: 'failed', value: { message: 'no such table' } });
    }
  });

  it('void a running rebuild with an invalidation, and give a waiter the next lease at once', async () => {
    const key = 'invalidated';
    const before = await one!.lease({ key, leaseMs: LEASE_MS });
    await one!.publishText(key, before.token, 'old');
    await one!.invalidate({ keys: [key] });
    const doomed = await one!.lease({ key, leaseMs: LEASE_MS });
    expect(doomed.reason).toBe(LeaseReason.LEASE_REASON_INVALIDATED);
    const [waiter] = (await waiting(1, key, 1)) as [Promise<GetOrLockResponse>];

    expect(await three!.invalidate({ keys: [key] })).toEqual({ keysInvalidated: 0, leasesVoided: 1 });
    // Long before the voided lease ends, and without a call of its holder.
    const next = await waiter;
    if (next.outcome?.$case !== 'lease') throw new Error(`expected a lease: ${JSON.stringify(next)}`);
    expect(next.outcome.value.previous).toBeUndefined();
    expect(next.outcome.value.fence).toBeGreaterThan(doomed.fence);

    const late = await one!.publishText(key, doomed.token, 'doomed');
    expect(late.outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_INVALIDATED);
    for (const caller of callers) {
      const { outcome } = await caller.getOrLock({ key, waitMs: 0, read: Read.READ_STORE });
      expect(outcome?.$case).toBe('busy');
    }
    const stored = await two!.publishText(key, next.outcome.value.token, 'new');
    expect(stored.outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
    const again = await one!.publishText(key, doomed.token, 'doomed');
    expect(again.outcome).not.toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
    for (const caller of callers) {
      expect(textOf(await caller.getOrLock({ key, waitMs: 0, read: Read.READ_STORE }))).toBe('new');
    }
  });
});
