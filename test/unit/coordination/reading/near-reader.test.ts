import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { CoordinationTrial, hitOf, isWaiting, leaseOf, textIn } from '../../../support/coordination-trial.js';

describe('a read that an invalidation overtakes', () => {
  it('serves callers that came before the invalidation, and none that came after', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    await trial.publish(token, 'old');
    const gate = trial.store.holdAfter('read');
    const before = trial.send();
    await gate.reached;
    await trial
      .replica()
      .invalidate(
        { namespace: 'trial', keys: [trial.key], tags: [], all: false, mode: 'delete' },
        new Call(),
      );
    const after = trial.send();
    gate.open();
    await trial.settle();
    expect(textIn(hitOf(before))).toBe('old');
    leaseOf(after);
  });
});

describe('a value that this replica has', () => {
  it('is not transferred again for READ_STORE while the near cache has it', async () => {
    const trial = new CoordinationTrial();
    trial.nearCacheBytes = 1_000_000;
    const replica = trial.replica();
    const { token } = await trial.lease();
    const { fence } = await trial.publish(token, 'a value');
    for (const known of [undefined, fence]) {
      const answer = await trial.ask({ read: 'store' }, new Call(), replica);
      expect(textIn(hitOf(answer))).toBe('a value');
      expect(trial.store.known.at(-1)).toBe(known);
    }
  });

  it('is not transferred again for waiters until there is another', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    const { fence } = await trial.publish(token, 'old', { ttlMs: 1, staleMs: 60_000 });
    await trial.pass(10);
    const { token: next } = await trial.lease({ stale: 'forbid', leaseMs: 60_000 });
    const before = trial.store.known.length;
    const [waiting, other] = [trial.send({ stale: 'forbid' }), trial.replica()];
    await trial.pass(6_000, 100);
    const [first, ...polls] = trial.store.known.slice(before);
    expect(first).toBeUndefined();
    expect(polls.length).toBeGreaterThan(2);
    expect(new Set(polls)).toEqual(new Set([fence]));
    await trial.publish(next, 'new', {}, other);
    expect(textIn(hitOf(waiting))).toBe('new');
  });

  it('and whose tag was invalidated is not transferred again for waiters', async () => {
    const trial = new CoordinationTrial();
    const { token } = await trial.lease();
    const { fence } = await trial.publish(token, 'old', { tags: ['a tag'] });
    const request = { namespace: 'trial', keys: [], tags: ['a tag'], all: false, mode: 'delete' } as const;
    await trial.coordinator.invalidate(request, new Call());
    const { token: next } = await trial.lease({ leaseMs: 60_000 });
    const before = trial.store.known.length;
    const [waiting, other] = [trial.send({}), trial.replica()];
    await trial.pass(6_000, 100);
    const [first, ...polls] = trial.store.known.slice(before);
    expect(first).toBeUndefined();
    expect(polls.length).toBeGreaterThan(2);
    expect(new Set(polls)).toEqual(new Set([fence]));
    expect(isWaiting(waiting)).toBe(true);
    await trial.publish(next, 'new', { tags: ['a tag'] }, other);
    expect(textIn(hitOf(waiting))).toBe('new');
  });
});
