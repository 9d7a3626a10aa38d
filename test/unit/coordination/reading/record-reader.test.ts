import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationTrial, hitOf, isWaiting, leaseOf, textIn } from '../../../support/coordination-trial.js';
import type { Gate } from '../../../support/gates.js';

type Request = { tags?: string[]; all?: boolean; mode?: 'delete' | 'mark_stale' };

async function trialWith(tags: string[], staleMs = 60_000) {
  const trial = new CoordinationTrial();
  const rebuilt = async (text: string) => {
    const { token } = await trial.lease();
    await trial.publish(token, text, { tags, ttlMs: 60_000, staleMs });
  };
  await rebuilt('old');
  const invalidate = async ({ tags = [], all = false, mode = 'delete' }: Request) => {
    const request = { namespace: 'trial', keys: [], tags, all, mode };
    const answer = await trial.coordinator.invalidate(request, new Call());
    await trial.settle();
    return answer;
  };
  return { trial, rebuilt, invalidate };
}

describe('an invalidation by tag', () => {
  it('applies to all values with one of its tags, and to no others', async () => {
    const { trial, invalidate } = await trialWith(['a', 'b']);
    await invalidate({ tags: ['c'] });
    expect(textIn(hitOf(await trial.ask({ read: 'store' })))).toBe('old');
    expect(await invalidate({ tags: ['x', 'b'] })).toEqual({ keysInvalidated: 0, leasesVoided: 0 });
    const lease = leaseOf(await trial.ask({ read: 'store' }));
    expect(lease.previous).toBeUndefined();
    await trial.publish(lease.token, 'new', { tags: ['b'] });
    expect(textIn(hitOf(await trial.ask({ read: 'store' })))).toBe('new');
  });

  it('of the whole namespace also applies to values without tags', async () => {
    const { trial, invalidate } = await trialWith([]);
    await invalidate({ all: true });
    leaseOf(await trial.ask());
  });

  it('in mode mark_stale keeps the value for callers that accept stale ones', async () => {
    const { trial, invalidate } = await trialWith(['a']);
    await invalidate({ tags: ['a'], mode: 'mark_stale' });
    const lease = leaseOf(await trial.ask());
    expect(lease.previous && textIn(lease.previous)).toBe('old');
    expect(hitOf(await trial.ask())).toMatchObject({ freshForMs: 0, rebuilding: true });
    expect(isWaiting(await trial.ask({ stale: 'forbid' }))).toBe(true);
  });

  it('during a rebuild lets its result be stored, but no caller gets it', async () => {
    const { trial, invalidate } = await trialWith(['a']);
    const { token } = await trial.lease({ intent: 'refresh' });
    const waiter = await trial.ask({ intent: 'refresh' });
    await invalidate({ tags: ['a'] });
    expect((await trial.publish(token, 'from before', { tags: ['a'] })).outcome).toBe('stored');
    // Its waiter reads again, finds that the value does not count, and rebuilds.
    const next = leaseOf(waiter);
    const reader = await trial.ask({ read: 'store', stale: 'forbid' });
    expect(isWaiting(reader)).toBe(true);
    await trial.publish(next.token, 'from after', { tags: ['a'] });
    expect(textIn(hitOf(reader))).toBe('from after');
    await trial.expectRest();
  });

  /** A refresh reaches the gate, and then its tag is invalidated. After that comes a reader, which waits for it. */
  async function invalidatedDuring(held: (trial: CoordinationTrial) => Gate) {
    const { trial, invalidate } = await trialWith(['a']);
    const gate = held(trial);
    const refreshing = trial.send({ intent: 'refresh' });
    await gate.reached;
    await invalidate({ tags: ['a'] });
    const reader = trial.send({ read: 'store' });
    gate.open();
    await trial.settle();
    expect(isWaiting(reader)).toBe(true);
    return { trial, refreshing, reader };
  }

  it('during the votes comes before the lease: its value counts for callers after the invalidation', async () => {
    const { trial, refreshing, reader } = await invalidatedDuring((trial) =>
      trial.quorum.holdBefore('acquire'),
    );
    await trial.publish(leaseOf(refreshing).token, 'from after', { tags: ['a'] });
    expect(textIn(hitOf(reader))).toBe('from after');
    await trial.expectRest();
  });

  it('during the arm applies to callers that come after it', async () => {
    const { trial, refreshing, reader } = await invalidatedDuring((trial) => trial.store.holdBefore('arm'));
    // The lease may be from before the invalidation too, so the reader gets the next one.
    await trial.publish(leaseOf(refreshing).token, 'from before', { tags: ['a'] });
    await trial.publish(leaseOf(reader).token, 'from after', { tags: ['a'] });
    expect(textIn(hitOf(await trial.ask({ read: 'store' })))).toBe('from after');
    await trial.expectRest();
  });

  it('applies even if the clock was lost: no invalidated value returns', async () => {
    const { trial } = await trialWith(['a']);
    const real = trial.namespaces.read;
    Object.assign(trial.namespaces, {
      read: async (...to: Parameters<typeof real>) => ({ ...(await real(...to)), clock: 'another.1' }),
    });
    leaseOf(await trial.ask());
  });

  it('adds no request to a read while nothing is invalidated, and one afterwards', async () => {
    const { trial, invalidate } = await trialWith(['a']);
    const asked = () => trial.namespaces.countOf('read');
    const before = asked();
    hitOf(await trial.ask());
    expect(asked() - before).toBe(1);
    await invalidate({ tags: ['b'] });
    hitOf(await trial.ask());
    expect(asked() - before).toBe(3);
  });

  it('without the store is UNAVAILABLE', async () => {
    const { trial, invalidate } = await trialWith(['a']);
    trial.store.down = true;
    await expect(invalidate({ tags: ['a'] })).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('is checked by one read of the namespace for all callers of a turn', async () => {
    const { trial } = await trialWith(['a']);
    const before = trial.namespaces.countOf('read');
    const keys = ['x', 'y', 'z'].map((key) => ({ ...trial.key, key, id: key }));
    const all = keys.map((key) => trial.send({ key }));
    await trial.settle();
    all.map(leaseOf);
    expect(trial.namespaces.countOf('read') - before).toBe(1);
  });
});

describe('a read whose reply is late', () => {
  it('does not mistake a running lease for an ended one, because the store counts the time left', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease({ leaseMs: 400 });
    const gate = trial.store.holdBefore('read');
    const waiter = trial.send({}, new Call(), trial.replica());
    await gate.reached;
    // The request is delayed on its way. It reads what is there when it arrives.
    trial.clock.advance(250);
    // A lock node has forgotten the lock, so the votes alone would not prevent a second lease.
    await trial.quorum.release(trial.key.id, token.nonce);
    gate.open();
    await trial.settle();
    expect(isWaiting(waiter)).toBe(true);
  });

  it('counts the first value of a namespace, whose clock has begun since the namespace was read', async () => {
    const trial = new CoordinationTrial();
    const gate = trial.store.holdBefore('read');
    const reader = trial.send({}, new Call(), trial.replica());
    await gate.reached;
    const { token } = await trial.lease();
    await trial.publish(token, 'first');
    gate.open();
    await trial.settle();
    expect(textIn(hitOf(reader))).toBe('first');
  });
});
