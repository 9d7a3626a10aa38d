import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  Degraded,
  ExtendOutcome,
  type GetOrLockResponse,
  PublishOutcome,
  Read,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { Caller, textOf } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { EarlierVersion, earlierVersion, isWithoutHistory } from '../support/earlier-version.js';
import { Fleet } from '../support/fleet.js';
import { PATIENT_ENV } from '../support/patience.js';
import { freePort } from '../support/redis-server.js';
import { listenAt, RollingLoad, replaceOneByOne } from '../support/rolling-load.js';

const version = earlierVersion();
if (version === undefined)
  console.warn(
    'SKIPPED, the git history is missing: the upgrade from the previous release. Clone without --depth',
  );

if (version === undefined)
  it('a previous release is missing only if the git history was cut', () => {
    expect(isWithoutHistory()).toBe(true);
  });

// Not a skipped suite, because that is a failure on CI, which requires all tools but not the history.
const describeUpgrade = version === undefined ? () => {} : describe;

describeUpgrade(`an upgrade from ${version}`, () => {
  let earlier: EarlierVersion;
  let fleet: Fleet | undefined;
  const closing: (() => unknown)[] = [];
  beforeAll(() => {
    earlier = new EarlierVersion(version as string);
  });
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
    await fleet?.stop();
  });
  afterAll(() => earlier?.remove());

  describeWithRedis('of a fleet', () => {
    it('fails no call of a client, and rebuilds each key once between its steps', async () => {
      fleet = await Fleet.start({ replicas: 0, env: PATIENT_ENV });
      const ports = await Promise.all([freePort(), freePort(), freePort()]);
      for (const port of ports) await fleet.addReplica(listenAt(port), earlier.main);
      const load = new RollingLoad(ports, { plainCalls: false });
      closing.push(() => load.stop());
      expect(await load.rebuiltMoreThanOnce('before')).toEqual([]);
      await replaceOneByOne(fleet, ports, load);
      await load.stop();
      expect(load.failures).toEqual([]);
      expect(load.answered).toBeGreaterThan(500);
    });

    it.each([
      ['the earlier', 'this'],
      ['this', 'the earlier'],
    ])('lets %s version begin what %s version continues', async (first) => {
      fleet = await Fleet.start({ replicas: 0, env: PATIENT_ENV });
      const mains = first === 'this' ? [undefined, earlier.main] : [earlier.main, undefined];
      const [one, other] = (
        await Promise.all(mains.map((main) => fleet?.addReplica({ DIBS_NEAR_CACHE_BYTES: '0' }, main)))
      ).map((replica) => new Caller(replica?.target ?? '')) as [Caller, Caller];
      closing.push(
        () => one.close(),
        () => other.close(),
      );
      const fromStore = (caller: Caller, key: string) => caller.getOrLock({ key, read: Read.READ_STORE });

      // A value and its tags.
      const written = await one.lease({ key: 'written', holder: 'first' });
      const payload = { $case: 'value', value: Buffer.from('by the first') } as const;
      await one.publish({ key: 'written', token: written.token, payload, ttlMs: 60_000, tags: ['t'] });
      const read = await fromStore(other, 'written');
      expect(textOf(read)).toBe('by the first');
      expect(read.degraded).toBe(Degraded.DEGRADED_NONE);
      const told = await other.explain({ key: 'written' });
      expect(told).toMatchObject({ value: { tags: ['t'] }, pastLeases: [{ holder: 'first' }] });
      await other.invalidate({ tags: ['t'] });
      expect(await leaseOf(fromStore(one, 'written'))).toBeGreaterThan(written.fence);

      // A lease: one at a time, extended and published on the other replica, with waiters on both.
      const lease = await one.lease({ key: 'leased', leaseMs: 30_000, requestId: 'same' });
      expect((await other.getOrLock({ key: 'leased', waitMs: 0 })).outcome?.$case).toBe('busy');
      const { token } = await other.lease({ key: 'leased', requestId: 'same' });
      const extended = await other.extend({ key: 'leased', token, leaseMs: 60_000 });
      expect(extended.outcome).toBe(ExtendOutcome.EXTEND_OUTCOME_EXTENDED);
      const waiting = [one, other].map((caller) => caller.getOrLock({ key: 'leased', waitMs: 10_000 }));
      const published = await other.publishText('leased', lease.token, 'by the other');
      expect(published.outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
      expect((await Promise.all(waiting)).map(textOf)).toEqual(['by the other', 'by the other']);

      // An invalidation voids the lease, and the fences keep growing.
      const doomed = await one.lease({ key: 'doomed' });
      await other.invalidate({ keys: ['doomed'] });
      const refused = await one.publishText('doomed', doomed.token, 'too late');
      expect(refused.outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_INVALIDATED);
      expect(await leaseOf(fromStore(other, 'doomed'))).toBeGreaterThan(doomed.fence);

      // A failure and its back-off.
      const failing = await one.lease({ key: 'failing' });
      const failure = { message: 'no such table', retryAfterMs: 30_000 };
      await one.release({ key: 'failing', token: failing.token, failure });
      expect((await other.getOrLock({ key: 'failing' })).outcome).toMatchObject({
        ...{ $case: 'failed', value: { message: 'no such table' } },
      });
    });
  });
});

/** Returns the fence of the expected lease. */
async function leaseOf(answer: Promise<GetOrLockResponse>): Promise<number> {
  const { outcome } = await answer;
  if (outcome?.$case !== 'lease') throw new Error(`expected a lease, got ${JSON.stringify(outcome)}`);
  return outcome.value.fence;
}
