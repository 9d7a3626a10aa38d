import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keyOf } from '../../src/coordination/words/key.js';
import {
  Degraded,
  ExtendOutcome,
  LeaseEnd,
  LeaseReason,
  PublishOutcome,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { Caller, textOf } from '../support/caller.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { RedisServer } from '../support/redis-server.js';

describeWithRedis('a store that a later version has written to', () => {
  let fleet: Fleet;
  let store: RedisServer;
  beforeEach(async () => {
    fleet = await Fleet.start({ replicas: 0, lockNodes: 3 });
    store = await RedisServer.start({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    const admin = new Redis(store.url);
    await admin.set('dibs:format', '2');
    admin.disconnect();
  });
  afterEach(async () => {
    await fleet?.stop();
    await store?.stop();
  });

  it('ends a start, with what to do', async () => {
    await expect(fleet.addReplica({ DIBS_STORE_URL: store.url })).rejects.toThrow(
      /ended with 1 before it listened:\n.*cannot start: the value store has the format '2', .*DIBS_STORE_URL/s,
    );
  });

  it('is not used by a replica that had to start without it', async () => {
    await store.kill();
    const replica = await fleet.addReplica({ DIBS_STORE_URL: store.url, DIBS_LOG_LEVEL: 'error' });
    expect(replica.log).not.toContain(LOG.storeTooNew);
    await store.restart();
    await expect.poll(() => replica.log).toContain(LOG.storeTooNew);
    const caller = new Caller(replica.target);
    const { outcome, degraded } = await caller.getOrLock({ key: 'k' });
    expect(outcome?.$case).toBe('lease');
    // Without a store that has recorded a first start, new lock nodes wait before they vote.
    expect([Degraded.DEGRADED_STORE_LOST, Degraded.DEGRADED_LOCAL]).toContain(degraded);
    caller.close();
    // The replica must not write anything that a later version would read.
    expect(await store.keys('dibs:{*')).toEqual([]);
  });
});

describeWithRedis('what a later version adds to the same format', () => {
  let fleet: Fleet;
  let admin: Redis;
  let caller: Caller;
  beforeEach(async () => {
    fleet = await Fleet.start({ replicas: 1, lockNodes: 3 });
    admin = new Redis(fleet.store.url);
    caller = new Caller(fleet.replicas[0]!.target);
  });
  afterEach(async () => {
    caller?.close();
    admin?.disconnect();
    await fleet?.stop();
  });

  it('is ignored, preserved, and never an error', async () => {
    const record = `dibs:{${keyOf('default', 'k').id}}`;
    const before = await caller.lease({ key: 'k' });
    await caller.release({ key: 'k', token: before.token });
    const lease = await caller.lease({ key: 'k', requestId: 'again' });
    const labels = JSON.parse((await admin.hget(record, 'lease')) ?? '');
    const past = JSON.parse((await admin.hget(record, 'past')) ?? '');
    await admin.hset(record, {
      later: 'kept',
      last_end: 'eclipsed',
      lease: JSON.stringify({ ...labels, reason: 'moonlight', later: { is: 'read over' } }),
      past: JSON.stringify({ ...past, end: 'eclipsed', later: 1 }),
    });
    await admin.publish('dibs:wake', `eclipsed:1:${keyOf('default', 'k').id}`);

    const told = await caller.explain({ key: 'k' });
    expect(told.lease).toMatchObject({ fence: lease.fence, reason: LeaseReason.LEASE_REASON_UNSPECIFIED });
    expect(told.pastLeases).toMatchObject([{ fence: before.fence, end: LeaseEnd.LEASE_END_UNSPECIFIED }]);
    const again = await caller.lease({ key: 'k', requestId: 'again' });
    expect(again).toMatchObject({ fence: lease.fence, reason: LeaseReason.LEASE_REASON_UNSPECIFIED });
    const { token } = again;
    const extended = await caller.extend({ key: 'k', token });
    expect(extended.outcome).toBe(ExtendOutcome.EXTEND_OUTCOME_EXTENDED);
    const published = await caller.publishText('k', token, 'a value');
    expect(published.outcome).toBe(PublishOutcome.PUBLISH_OUTCOME_STORED);
    expect(textOf(await caller.getOrLock({ key: 'k' }))).toBe('a value');
    await caller.invalidate({ keys: ['k'] });
    expect((await caller.lease({ key: 'k' })).fence).toBeGreaterThan(lease.fence);
    expect(await admin.hget(record, 'later')).toBe('kept');
  });
});
