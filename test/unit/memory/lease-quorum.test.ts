import { beforeEach, describe, expect, test } from 'vitest';
import { driftMs } from '../../../src/coordination/leasing/drift.js';
import { MemoryLeaseQuorum } from '../../../src/memory/lease-quorum.js';
import { freshNonce } from '../../support/fresh-nonce.js';
import { ManualClock } from '../../support/manual-clock.js';

describe('the quorum in memory', () => {
  let clock: ManualClock;
  let quorum: MemoryLeaseQuorum;
  beforeEach(() => {
    clock = new ManualClock();
    quorum = new MemoryLeaseQuorum({ clock });
  });

  /** Locks a free key. Returns the nonce. */
  async function locked(id: string, leaseMs = 1000): Promise<string> {
    const ballot = await quorum.acquire(id, freshNonce(), leaseMs);
    if (ballot.kind !== 'granted') throw new Error(`it is ${ballot.kind}`);
    return ballot.nonce;
  }

  test('grants a free lock under the given nonce, valid for its length less the clock drift', async () => {
    const ballot = await quorum.acquire('a', 'n', 1000);
    const validUntilMs = clock.nowMs() + 1000 - driftMs(1000);
    expect(ballot).toEqual({ kind: 'granted', nonce: 'n', validUntilMs });
  });

  test('returns held until the very end of the lease, and grants from then on', async () => {
    await locked('a', 1000);
    clock.advance(999);
    expect(await quorum.acquire('a', freshNonce(), 1000)).toEqual({ kind: 'held' });
    clock.advance(1);
    expect((await quorum.acquire('a', freshNonce(), 1000)).kind).toBe('granted');
  });

  test('grants nothing without validity left, and then keeps no lock', async () => {
    expect(await quorum.acquire('a', freshNonce(), 2)).toEqual({ kind: 'undecided' });
    expect((await quorum.acquire('a', freshNonce(), 3)).kind).toBe('granted');
  });

  test('releases a lock only by its own nonce', async () => {
    const nonce = await locked('a');
    await quorum.release('a', 'another');
    expect(await quorum.acquire('a', freshNonce(), 1000)).toEqual({ kind: 'held' });
    await quorum.release('a', nonce);
    await quorum.release('a', nonce);
    expect((await quorum.acquire('a', freshNonce(), 1000)).kind).toBe('granted');
  });

  test('extends a lock, and never shortens it', async () => {
    const nonce = await locked('a', 1000);
    expect(await quorum.extend('a', nonce, 5000)).toEqual({
      kind: 'granted',
      nonce,
      validUntilMs: clock.nowMs() + 5000 - driftMs(5000),
    });
    await quorum.extend('a', nonce, 100);
    clock.advance(4999);
    expect(await quorum.acquire('a', freshNonce(), 1000)).toEqual({ kind: 'held' });
  });

  test('extends only for the holder, and locks again what the holder has lost', async () => {
    const nonce = await locked('a', 1000);
    expect(await quorum.extend('a', 'another', 5000)).toEqual({ kind: 'held' });
    clock.advance(2000);
    expect((await quorum.extend('a', nonce, 1000)).kind).toBe('granted');
    expect(await quorum.acquire('a', freshNonce(), 1000)).toEqual({ kind: 'held' });
  });
});
