import { describe, expect, it } from 'vitest';
import { WAKE_VALUE_BYTES_MAX } from '../../../src/coordination/ports/wake-channel.js';
import { Call } from '../../../src/coordination/words/call.js';
import { keyOf } from '../../../src/coordination/words/key.js';
import type { GetOrLock } from '../../../src/coordination/words/requests.js';
import type { Token } from '../../../src/coordination/words/token.js';
import {
  type Asked,
  CoordinationTrial,
  hitOf,
  isWaiting,
  leaseOf,
  textIn,
} from '../../support/coordination-trial.js';

const JSON_OF_NO_TAGS = '[]'.length;

/** Rebuilds happen at `there`, and the callers are at `here`. */
function fleet({ nearCacheBytes = 1_000_000 } = {}) {
  const trial = new CoordinationTrial();
  trial.nearCacheBytes = nearCacheBytes;
  const [here, there] = [trial.replica(), trial.replica()];
  const ask = (request: Partial<GetOrLock> = {}) =>
    trial.ask({ waitMs: 5_000, ...request }, new Call(), here);
  const lease = () => trial.lease({}, there);
  const publish = (token: Token, text: string, tags: string[] = []) =>
    trial.publish(token, text, { tags }, there);
  /** Counts the reads of the store from now on. */
  const reads = () => {
    const before = trial.store.countOf('read');
    return () => trial.store.countOf('read') - before;
  };
  const invalidate = async (what: 'key' | 'tag' | 'all', at = there) => {
    const keys = what === 'key' ? [trial.key] : [];
    const tags = what === 'tag' ? ['red'] : [];
    const request = { namespace: 'trial', keys, tags, all: what === 'all', mode: 'delete' } as const;
    await at.invalidate(request, new Call());
    await trial.settle();
  };
  return { trial, here, there, ask, lease, publish, reads, invalidate };
}

const textFor = (asked: Asked) => textIn(hitOf(asked));

describe('a small value in a wake', () => {
  it('reaches the waiters on another replica, and its near cache, without a read', async () => {
    const { trial, ask, lease, publish, reads } = fleet();
    const { token, fence } = await lease();
    const waiters = [await ask(), await ask({ stale: 'forbid' }), await ask({ intent: 'read' })];
    trial.clock.advance(100);
    const read = reads();
    await publish(token, 'new');
    for (const waiter of waiters) expect(hitOf(waiter)).toMatchObject({ fence, freshForMs: 60_000 });
    expect(textFor(await ask())).toBe('new');
    expect(read()).toBe(0);
    await trial.expectRest();
  });

  it.each([
    ['of the largest size', WAKE_VALUE_BYTES_MAX - JSON_OF_NO_TAGS, 0],
    ['that is larger', WAKE_VALUE_BYTES_MAX - JSON_OF_NO_TAGS + 1, 1],
  ])('%s, by its bytes (%i) and those of its tags, costs %i reads', async (_what, bytes, expected) => {
    const { ask, lease, publish, reads } = fleet();
    const { token } = await lease();
    const waiter = await ask();
    const read = reads();
    await publish(token, 'x'.repeat(bytes));
    expect(textFor(waiter)).toHaveLength(bytes);
    expect(read()).toBe(expected);
  });

  it('replaces an older one in the near cache, even without waiters', async () => {
    const { trial, ask, lease, publish, reads } = fleet();
    await publish((await lease()).token, 'first');
    expect(textFor(await ask())).toBe('first');
    trial.clock.advance(60_001);
    const { token } = await lease();
    const read = reads();
    await publish(token, 'second');
    expect(textFor(await ask())).toBe('second');
    expect(read()).toBe(0);
  });

  it.each([
    ['may', 60_100, 0],
    ['must', 60_200, 1],
  ])('gets early votes only if it %s have expired at the store', async (_word, ms, expected) => {
    const { trial, ask, lease, publish } = fleet();
    await trial.publish((await lease()).token, 'first', { ttlMs: 100 });
    await ask();
    trial.clock.advance(100);
    const { token } = await lease();
    trial.wakes.hold();
    await publish(token, 'second');
    // The replica only knows that it was stored between then and now.
    trial.clock.advance(200);
    trial.wakes.release();
    await trial.settle();
    trial.clock.advance(ms - 200);
    const votes = trial.quorum.countOf('acquire');
    const reading = trial.store.holdAfter('read');
    const asking = ask();
    await reading.reached;
    await trial.settle();
    expect(trial.quorum.countOf('acquire') - votes).toBe(expected);
    reading.open();
    await trial.pass(100);
    leaseOf(await asking);
  });

  it('is ignored by a replica that has no use for it', async () => {
    const { here, lease, publish } = fleet();
    await publish((await lease()).token, 'unwanted');
    expect(here.nearCacheBytes).toBe(0);
  });

  it('does not answer a READ_STORE caller', async () => {
    const { ask, lease, publish, reads } = fleet();
    const { token } = await lease();
    const [strict, other] = [await ask({ read: 'store' }), await ask()];
    const read = reads();
    await publish(token, 'new');
    expect([textFor(strict), textFor(other)]).toEqual(['new', 'new']);
    expect(read()).toBe(1);
  });

  it('stays fresh no longer than at the store, however long the wake took', async () => {
    const { trial, ask, lease, publish, reads } = fleet();
    const { token } = await lease();
    const waiter = await ask();
    trial.clock.advance(2_000);
    await trial.settle();
    const read = reads();
    trial.wakes.hold();
    await publish(token, 'new');
    trial.clock.advance(200);
    trial.wakes.release();
    await trial.settle();
    expect(hitOf(waiter).freshForMs).toBe(59_800);
    expect(read()).toBe(0);
  });

  it('is read from the store if it may have expired on its way', async () => {
    const { trial, there, ask, lease, reads } = fleet();
    const { token } = await lease();
    const waiter = await ask({ stale: 'forbid' });
    trial.wakes.hold();
    await trial.publish(token, 'short', { ttlMs: 200 }, there);
    // Sooner than any poll.
    trial.clock.advance(201);
    const read = reads();
    trial.wakes.release();
    await trial.settle();
    expect(read()).toBe(1);
    leaseOf(waiter);
  });
});

describe('a small value in a wake is not passed on', () => {
  it.each(['key', 'tag', 'all'] as const)(
    'if its %s was invalidated here, with the reply before the wake',
    async (what) => {
      const { trial, here, ask, lease, publish, invalidate } = fleet();
      const { token } = await lease();
      const early = await ask();
      trial.wakes.hold();
      await publish(token, 'old', ['red']);
      // No reply tells the room what the store has now.
      trial.store.hang();
      const invalidating = invalidate(what, here);
      const resuming = trial.store.holdAfter('read');
      trial.store.resume();
      await invalidating;
      const late = await ask();
      trial.wakes.release();
      await trial.settle();
      expect(isWaiting(late)).toBe(true);
      resuming.open();
      await trial.settle();
      // One caller got the lease, and the other waits for it.
      expect([early, late].map(isWaiting)).toEqual([false, true]);
      leaseOf(early);
    },
  );

  it('if its tag was invalidated during the rebuild', async () => {
    const { ask, lease, publish, reads, invalidate } = fleet();
    const { token } = await lease();
    const waiter = await ask();
    await invalidate('tag');
    const read = reads();
    await publish(token, 'old', ['red']);
    leaseOf(waiter);
    expect(read()).toBe(1);
  });

  it('if other wakes were missed, so that invalidations are unknown', async () => {
    const { trial, ask, lease, publish, invalidate } = fleet();
    const { token } = await lease();
    const waiter = await ask();
    trial.wakes.silent = true;
    await invalidate('tag');
    trial.wakes.silent = false;
    const request = { namespace: 'trial', keys: [], tags: ['blue'], all: false, mode: 'delete' } as const;
    await trial.coordinator.invalidate(request, new Call());
    await trial.settle();
    await publish(token, 'old', ['red']);
    leaseOf(waiter);
  });

  it('if the channel is not live when it comes', async () => {
    const { trial, ask, lease, publish, reads } = fleet();
    const { token } = await lease();
    const waiter = await ask();
    trial.wakes.live = false;
    const read = reads();
    await publish(token, 'new');
    expect(textFor(waiter)).toBe('new');
    expect(read()).toBe(1);
  });

  it('if the channel was confirmed again since the last completed read', async () => {
    const { trial, ask, lease, publish } = fleet();
    const { token } = await lease();
    const waiter = await ask();
    const reply = trial.store.holdAfter('read');
    trial.wakes.lose();
    trial.wakes.comeBack();
    await reply.reached;
    // The tag clock is known again.
    const other = await ask({ key: keyOf('trial', 'another key') });
    await publish(token, 'new');
    expect(isWaiting(waiter)).toBe(true);
    reply.open();
    await trial.settle();
    expect(textFor(waiter)).toBe('new');
    leaseOf(other);
  });

  it('if a read has shown a later lease, for which callers wait', async () => {
    const { trial, ask, lease, publish, invalidate } = fleet();
    const { token } = await lease();
    trial.wakes.hold();
    await publish(token, 'old');
    await invalidate('key');
    await lease();
    const waiter = await ask();
    trial.wakes.release();
    await trial.settle();
    expect(isWaiting(waiter)).toBe(true);
  });

  it('if the near cache has a later one', async () => {
    const { trial, there, ask, lease, publish } = fleet();
    await publish((await lease()).token, 'first');
    await ask();
    const refresh = () => trial.lease({ intent: 'refresh' }, there);
    trial.wakes.hold();
    await trial.publish((await refresh()).token, 'second', { ttlMs: 600_000 }, there);
    trial.wakes.silent = true;
    await trial.publish((await refresh()).token, 'third', { ttlMs: 600_000 }, there);
    trial.wakes.silent = false;
    trial.clock.advance(60_001);
    expect(textFor(await ask())).toBe('third');
    trial.wakes.release();
    await trial.settle();
    expect(textFor(await ask())).toBe('third');
  });
});
