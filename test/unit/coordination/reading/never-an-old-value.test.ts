import { describe, expect, it } from 'vitest';
import { Call } from '../../../../src/coordination/words/call.js';
import { keyOf } from '../../../../src/coordination/words/key.js';
import type { GetOrLock } from '../../../../src/coordination/words/requests.js';
import type { Token } from '../../../../src/coordination/words/token.js';
import {
  CoordinationTrial,
  failedOf,
  hitOf,
  isWaiting,
  leaseOf,
  textIn,
} from '../../../support/coordination-trial.js';

/** A fleet of two replicas. The callers are at `here`, the invalidations mostly at `there`. */
function fleet(nearCacheBytes = 0) {
  const trial = new CoordinationTrial();
  trial.nearCacheBytes = nearCacheBytes;
  trial.limits = { ...trial.limits, waitersPerKeyMax: 1_000, waitersMax: 1_000 };
  const here = trial.replica();
  const there = trial.replica();
  const ask = (request: Partial<GetOrLock> = {}) => trial.ask(request, new Call(), here);
  const lease = async (request: Partial<GetOrLock> = {}) => leaseOf(await ask(request));
  const publish = (token: Token, text: string, tags: string[] = []) =>
    trial.publish(token, text, { tags }, here);
  const invalidate = async (what: 'key' | 'tag' | 'all' | 'stale', at = there) => {
    const keys = what === 'key' || what === 'stale' ? [trial.key] : [];
    const answer = await at.invalidate(
      {
        namespace: 'trial',
        keys,
        tags: what === 'tag' ? ['red'] : [],
        all: what === 'all',
        mode: what === 'stale' ? 'mark_stale' : 'delete',
      },
      new Call(),
    );
    await trial.settle();
    return answer;
  };
  return { trial, here, there, ask, lease, publish, invalidate };
}

const WAYS = ['key', 'tag', 'all', 'stale'] as const;

describe('an unstored lease', () => {
  /** A lease that was granted while the store was lost. The store is back. */
  async function given(over: Partial<GetOrLock> = {}) {
    const it = fleet();
    it.trial.store.down = true;
    const lease = await it.lease(over);
    expect(lease.fence).toBe(0);
    it.trial.store.down = false;
    return { ...it, token: lease.token };
  }

  it('feeds waiters while nothing has changed, with a value that clients may not keep', async () => {
    const { trial, ask, publish, token } = await given();
    trial.store.down = true;
    const waiter = await ask({ waitMs: 5_000 });
    expect((await publish(token, 'new')).outcome).toBe('not_stored');
    expect(hitOf(waiter)).toMatchObject({ fresh: true, freshForMs: 0, fence: 0 });
    expect(waiter.answer?.degraded).toBe('store_lost');
  });

  it.each(['key', 'tag', 'all'] as const)('feeds no caller once its %s was invalidated', async (what) => {
    const { ask, publish, invalidate, token } = await given();
    await invalidate(what);
    const late = await ask({ waitMs: 5_000 });
    const answer = await publish(token, 'old', ['red']);
    expect(answer).toMatchObject({ outcome: 'not_stored', maybeStored: false });
    // The store is back, and has no lease of the key.
    leaseOf(late);
  });

  it.each(['tag', 'all'] as const)(
    'feeds no caller if a retry got it after its %s was invalidated',
    async (what) => {
      // `there` granted it, `here` grants it again, and its holder may have read its source before the invalidation.
      const { trial, here, there, ask, publish, invalidate } = fleet();
      const first = await trial.lease({ requestId: 'r' }, there);
      await invalidate(what);
      const again = await trial.lease({ requestId: 'r' }, here);
      expect(again.token).toEqual(first.token);
      trial.store.down = true;
      const late = await ask({ waitMs: 5_000 });
      expect((await publish(again.token, 'old', ['red'])).outcome).toBe('not_stored');
      expect(late.answer?.outcome.kind).not.toBe('hit');
    },
  );

  it('feeds callers from before the loss of the wake channel, and none that came after', async () => {
    const { trial, ask, publish, token } = await given();
    trial.store.down = true;
    const before = await ask({ waitMs: 5_000 });
    trial.wakes.lose();
    const after = await ask({ waitMs: 5_000 });
    await publish(token, 'old');
    expect(textIn(hitOf(before))).toBe('old');
    expect(after.answer?.outcome.kind).not.toBe('hit');
  });

  it('feeds no caller after its time, or after another lease of the key', async () => {
    const { trial, ask, publish, token } = await given({ leaseMs: 500 });
    await trial.pass(600);
    const next = leaseOf(await ask());
    const waiter = await ask({ waitMs: 5_000 });
    await publish(token, 'old');
    expect(isWaiting(waiter)).toBe(true);
    await publish(next.token, 'new');
    expect(textIn(hitOf(waiter))).toBe('new');
  });

  it('feeds no caller after its time, even if the process was paused and no timer has fired yet', async () => {
    const { trial, ask, publish, token } = await given({ leaseMs: 500 });
    trial.store.down = true;
    const waiter = await ask({ waitMs: 5_000 });
    trial.clock.stopFor(600);
    await publish(token, 'old');
    expect(waiter.answer?.outcome.kind).not.toBe('hit');
  });

  it('passes its failure on to no caller that came after its key was invalidated', async () => {
    const { trial, here, ask, token } = await given();
    trial.store.down = true;
    const before = await ask({ waitMs: 5_000 });
    const failure = { message: 'no database' };
    await here.release({ key: trial.key, token: token, failure }, new Call());
    await trial.settle();
    expect(failedOf(before).message).toBe('no database');

    const again = await given();
    await again.invalidate('key');
    const gate = again.trial.store.holdBefore('read');
    const after = again.trial.send({ waitMs: 5_000 }, new Call(), again.here);
    await gate.reached;
    await again.here.release({ key: again.trial.key, token: again.token, failure }, new Call());
    gate.open();
    await again.trial.settle();
    leaseOf(after);
  });
});

describe('a stored publish with a late reply', () => {
  it.each(WAYS)(
    'feeds callers from before the invalidation by %s, and none that came after',
    async (what) => {
      const { trial, ask, lease, publish, invalidate } = fleet();
      const { token } = await lease();
      const before = await ask({ waitMs: 5_000, stale: 'forbid' });
      const gate = trial.store.holdAfter('publish');
      const publishing = publish(token, 'old', ['red']);
      await gate.reached;
      await invalidate(what);
      const reading = trial.store.holdBefore('read');
      const after = await ask({ waitMs: 5_000, stale: 'forbid' });
      gate.open();
      const answer = await publishing;
      expect(answer.outcome).toBe('stored');
      reading.open();
      await trial.settle();
      expect(after.answer?.outcome.kind === 'hit' && textIn(hitOf(after))).toBe(false);
      expect(
        isWaiting(before) || before.answer?.outcome.kind === 'lease' || textIn(hitOf(before)) === 'old',
      ).toBe(true);
    },
  );

  it('feeds the value for the rest of its ttl only', async () => {
    const { trial, ask, lease, publish } = fleet();
    const { token } = await lease();
    const waiter = await ask({ waitMs: 5_000 });
    trial.wakes.silent = true;
    const gate = trial.store.holdAfter('publish');
    const publishing = publish(token, 'new');
    await gate.reached;
    trial.clock.advance(50);
    gate.open();
    await publishing;
    await trial.settle();
    expect(hitOf(waiter)).toMatchObject({ fresh: true, freshForMs: 60_000 - 50 });
  });

  it('reports that it does not count if its tag was invalidated since its lease', async () => {
    const { trial, lease, publish, invalidate } = fleet();
    const { token } = await lease();
    await invalidate('tag');
    expect(await publish(token, 'old', ['red'])).toMatchObject({ outcome: 'stored', counts: false });
    const other = await lease();
    const asked = trial.namespaces.asked.length;
    expect(await publish(other.token, 'new', ['red'])).toMatchObject({ outcome: 'stored', counts: true });
    // The replica knows this without asking the store again.
    expect(trial.namespaces.asked).toHaveLength(asked);
  });

  it('feeds no caller if its tag was invalidated, even if the caller came before', async () => {
    const { trial, ask, lease, publish, invalidate } = fleet();
    const { token } = await lease();
    const waiter = await ask({ waitMs: 5_000 });
    await invalidate('tag');
    expect(await publish(token, 'old', ['red'])).toMatchObject({ counts: false });
    await trial.settle();
    expect(isWaiting(waiter) || waiter.answer?.outcome.kind === 'lease').toBe(true);
  });

  it('asks the store whether it counts if the replica may have missed a change', async () => {
    const { trial, lease, publish, invalidate } = fleet();
    const { token } = await lease();
    trial.wakes.live = false;
    expect(await publish(token, 'a', ['red'])).toMatchObject({ counts: true });
    const second = await lease({ intent: 'refresh' });
    await invalidate('all');
    expect(await publish(second.token, 'b')).toMatchObject({ counts: false });
  });
});

describe("a replica's own invalidation", () => {
  it.each(WAYS)('by %s reaches its near cache before it is answered, whatever the wakes do', async (what) => {
    const { trial, here, ask, lease, publish, invalidate } = fleet(100_000);
    await publish((await lease()).token, 'old', ['red']);
    hitOf(await ask());
    trial.wakes.silent = true;
    await invalidate(what, here);
    trial.wakes.silent = false;
    const next = await ask({ stale: 'forbid' });
    expect(next.answer?.outcome.kind).not.toBe('hit');
  });

  it.each(['a key', 'a tag'] as const)(
    'of %s takes effect when the store has confirmed it, even while other replies are owed',
    async (what) => {
      const { trial, here, ask, lease, publish } = fleet(100_000);
      await publish((await lease()).token, 'old', ['red']);
      hitOf(await ask());
      trial.wakes.silent = true;
      // The reply for the first key is on its way.
      const late = trial.store.holdAfter('invalidate');
      const keys = [keyOf('trial', 'another'), ...(what === 'a key' ? [trial.key] : [])];
      const tags = what === 'a tag' ? ['red'] : [];
      const request = { namespace: 'trial', keys, tags, all: false, mode: 'delete' as const };
      const invalidating = here.invalidate(request, new Call());
      await trial.settle();
      leaseOf(await ask());
      late.open();
      await invalidating;
    },
  );

  it('drops near entries even if the store does not answer, because it may have been done', async () => {
    const { trial, here, ask, lease, publish } = fleet(100_000);
    await publish((await lease()).token, 'old', ['red']);
    hitOf(await ask());
    trial.store.losesRepliesTo.add('invalidate');
    const request = { namespace: 'trial', keys: [trial.key], tags: [], all: false, mode: 'delete' as const };
    trial.wakes.silent = true;
    await expect(here.invalidate(request, new Call())).rejects.toMatchObject({ kind: 'unavailable' });
    leaseOf(await ask());
  });
});

describe('a near cache', () => {
  it('has no fresh values once the replica knows that the store is lost', async () => {
    const { trial, ask, lease, publish } = fleet(100_000);
    await publish((await lease()).token, 'old');
    hitOf(await ask());
    trial.store.down = true;
    // This call finds that out.
    await ask({ read: 'store', waitMs: 0 });
    const forbids = await ask({ stale: 'forbid', waitMs: 0 });
    expect(forbids.answer?.outcome.kind).not.toBe('hit');
    expect(hitOf(await ask({ waitMs: 0 }))).toMatchObject({ fresh: false });
  });

  it('keeps values without an invalidated tag', async () => {
    const { trial, ask, lease, publish, there } = fleet(100_000);
    await publish((await lease()).token, 'kept', ['blue']);
    hitOf(await ask());
    const reads = trial.store.countOf('read');
    const request = { namespace: 'trial', keys: [], tags: ['red'], all: false, mode: 'delete' as const };
    await there.invalidate(request, new Call());
    await trial.settle();
    expect(textIn(hitOf(await ask()))).toBe('kept');
    expect(trial.store.countOf('read')).toBe(reads);
  });
});

describe('an answer to many callers, which takes turns', () => {
  it('does not serve a caller that came in between, after a wake, from the earlier read', async () => {
    const { trial, here, lease, publish, invalidate } = fleet();
    await publish((await lease()).token, 'old');
    const gate = trial.store.holdAfter('read');
    const waiters = Array.from({ length: 300 }, () => trial.send({ waitMs: 500 }, new Call(), here));
    await gate.reached;
    const turn = trial.clock.holdTurn();
    gate.open();
    await turn.reached;
    await invalidate('key');
    const late = trial.send({ waitMs: 500 }, new Call(), here);
    turn.open();
    await trial.settle();
    expect(textIn(hitOf(waiters[0] ?? late))).toBe('old');
    expect(textIn(hitOf(waiters[299] ?? late))).toBe('old');
    leaseOf(late);
  });
});

describe('a hit that is held ready during an attempt', () => {
  it('is given with its age at the end of the wait', async () => {
    const { trial, here, lease, publish } = fleet();
    trial.policy = { ...trial.policy, earlyRefreshBeta: 1e12 };
    const first = await lease();
    trial.clock.advance(100);
    await publish(first.token, 'old');
    const voting = trial.quorum.holdBefore('acquire');
    const drawn = trial.send({ waitMs: 50 }, new Call(), here);
    await voting.reached;
    await trial.pass(60);
    const { fresh, freshForMs } = hitOf(drawn);
    expect(fresh).toBe(true);
    expect(freshForMs).toBeLessThanOrEqual(60_000 - 50);
    voting.open();
    await trial.settle();
  });
});

describe('an early refresh that ends undecided', () => {
  it('serves its own caller from the earlier read, and no caller that came after a wake', async () => {
    const { trial, here, lease, publish, invalidate } = fleet();
    trial.policy = { ...trial.policy, earlyRefreshBeta: 1e12 };
    const first = await lease();
    trial.clock.advance(100);
    await publish(first.token, 'old');
    const voting = trial.quorum.holdBefore('acquire');
    const drawn = trial.send({ waitMs: 500 }, new Call(), here);
    await voting.reached;
    await invalidate('key');
    const late = trial.send({ waitMs: 500 }, new Call(), here);
    trial.quorum.undecided = 1;
    voting.open();
    await trial.settle();
    expect(textIn(hitOf(drawn))).toBe('old');
    await trial.pass(100);
    expect(late.answer?.outcome.kind).not.toBe('hit');
  });
});
