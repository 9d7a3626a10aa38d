import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationTrial, hitOf, isWaiting, leaseOf, textIn } from '../../../support/coordination-trial.js';

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
  it('reaches every value with one of its tags, and no other', async () => {
    const { trial, invalidate } = await trialWith(['a', 'b']);
    await invalidate({ tags: ['c'] });
    expect(textIn(hitOf(await trial.ask({ read: 'store' })))).toBe('old');
    expect(await invalidate({ tags: ['x', 'b'] })).toEqual({ keysInvalidated: 0, leasesVoided: 0 });
    const lease = leaseOf(await trial.ask({ read: 'store' }));
    expect(lease.previous).toBeUndefined();
    await trial.publish(lease.token, 'new', { tags: ['b'] });
    expect(textIn(hitOf(await trial.ask({ read: 'store' })))).toBe('new');
  });

  it('of the whole namespace reaches values without tags too', async () => {
    const { trial, invalidate } = await trialWith([]);
    await invalidate({ all: true });
    leaseOf(await trial.ask());
  });

  it('that marks stale keeps the value for those who take stale ones', async () => {
    const { trial, invalidate } = await trialWith(['a']);
    await invalidate({ tags: ['a'], mode: 'mark_stale' });
    const lease = leaseOf(await trial.ask());
    expect(lease.previous && textIn(lease.previous)).toBe('old');
    expect(hitOf(await trial.ask())).toMatchObject({ freshForMs: 0, rebuilding: true });
    expect(isWaiting(await trial.ask({ stale: 'forbid' }))).toBe(true);
  });

  it('during a rebuild lets its result be stored, and served to nobody', async () => {
    const { trial, invalidate } = await trialWith(['a']);
    const { token } = await trial.lease({ intent: 'refresh' });
    const waiter = await trial.ask({ intent: 'refresh' });
    await invalidate({ tags: ['a'] });
    expect((await trial.publish(token, 'from before', { tags: ['a'] })).outcome).toBe('stored');
    // Its waiters read again, finds that it does not count, and rebuilds.
    const next = leaseOf(waiter);
    const reader = await trial.ask({ read: 'store', stale: 'forbid' });
    expect(isWaiting(reader)).toBe(true);
    await trial.publish(next.token, 'from after', { tags: ['a'] });
    expect(textIn(hitOf(reader))).toBe('from after');
    await trial.expectRest();
  });

  it('during an attempt counts for callers that come after it', async () => {
    const { trial, invalidate } = await trialWith(['a']);
    const gate = trial.quorum.holdBefore('acquire');
    const refreshing = trial.send({ intent: 'refresh' });
    await gate.reached;
    await invalidate({ tags: ['a'] });
    const reader = trial.send({ read: 'store' });
    gate.open();
    await trial.settle();
    expect(isWaiting(reader)).toBe(true);
    // The lease is from before the invalidation too, so that the next one goes to the reader.
    await trial.publish(leaseOf(refreshing).token, 'from before', { tags: ['a'] });
    await trial.publish(leaseOf(reader).token, 'from after', { tags: ['a'] });
    expect(textIn(hitOf(await trial.ask({ read: 'store' })))).toBe('from after');
    await trial.expectRest();
  });

  it('counts also where the clock was lost: nothing that was invalidated comes back', async () => {
    const { trial } = await trialWith(['a']);
    const real = trial.namespaces.read;
    Object.assign(trial.namespaces, {
      read: async (...to: Parameters<typeof real>) => ({ ...(await real(...to)), clock: 'another.1' }),
    });
    leaseOf(await trial.ask());
  });

  it('costs a look nothing while nothing is invalidated, and one more after that', async () => {
    const { trial, invalidate } = await trialWith(['a']);
    const asked = () => trial.namespaces.countOf('read');
    const before = asked();
    hitOf(await trial.ask());
    expect(asked() - before).toBe(1);
    await invalidate({ tags: ['b'] });
    hitOf(await trial.ask());
    expect(asked() - before).toBe(3);
  });

  it('without the store is an error, and may be repeated', async () => {
    const { trial, invalidate } = await trialWith(['a']);
    trial.store.down = true;
    await expect(invalidate({ tags: ['a'] })).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('takes the namespace for callers of one turn together', async () => {
    const { trial } = await trialWith(['a']);
    const before = trial.namespaces.countOf('read');
    const keys = ['x', 'y', 'z'].map((key) => ({ ...trial.key, key, id: key }));
    const all = keys.map((key) => trial.send({ key }));
    await trial.settle();
    all.map(leaseOf);
    expect(trial.namespaces.countOf('read') - before).toBe(1);
  });
});

describe('a look whose reply is late', () => {
  it('takes no lease for over that still runs: the reply says how long it runs, counted by the store', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease({ leaseMs: 400 });
    const gate = trial.store.holdBefore('read');
    const waiter = trial.send({}, new Call(), trial.replica());
    await gate.reached;
    // The request is held up on its way: what it reads is of the time when it arrives.
    trial.clock.advance(250);
    // A lock node has forgotten, so that the votes would not hold anybody back.
    await trial.quorum.release(trial.key.id, token.nonce);
    gate.open();
    await trial.settle();
    expect(isWaiting(waiter)).toBe(true);
  });
});
