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

  /** The nonce of a lock that must be free. */
  async function locked(id: string, leaseMs = 1000): Promise<string> {
    const ballot = await quorum.acquire(id, freshNonce(), leaseMs);
    if (ballot.kind !== 'granted') throw new Error(`it is ${ballot.kind}`);
    return ballot.nonce;
  }

  test('grants a free lock under the nonce that it is given, valid for less than it lasts by the drift', async () => {
    const ballot = await quorum.acquire('a', 'n', 1000);
    const validUntilMs = clock.nowMs() + 1000 - driftMs(1000);
    expect(ballot).toEqual({ kind: 'granted', nonce: 'n', validUntilMs });
  });

  test('says held until the very end of the lease, and grants from there on', async () => {
    await locked('a', 1000);
    clock.advance(999);
    expect(await quorum.acquire('a', freshNonce(), 1000)).toEqual({ kind: 'held' });
    clock.advance(1);
    expect((await quorum.acquire('a', freshNonce(), 1000)).kind).toBe('granted');
  });

  test('grants nothing that has no validity left, and leaves nothing of it', async () => {
    expect(await quorum.acquire('a', freshNonce(), 2)).toEqual({ kind: 'undecided' });
    expect((await quorum.acquire('a', freshNonce(), 3)).kind).toBe('granted');
  });

  test('is released by its own nonce only', async () => {
    const nonce = await locked('a');
    await quorum.release('a', 'another');
    expect(await quorum.acquire('a', freshNonce(), 1000)).toEqual({ kind: 'held' });
    await quorum.release('a', nonce);
    await quorum.release('a', nonce);
    expect((await quorum.acquire('a', freshNonce(), 1000)).kind).toBe('granted');
  });

  test('lets the holder last longer, and never shortens it', async () => {
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

  test('extends for no other, and locks again what its holder has lost', async () => {
    const nonce = await locked('a', 1000);
    expect(await quorum.extend('a', 'another', 5000)).toEqual({ kind: 'held' });
    clock.advance(2000);
    expect((await quorum.extend('a', nonce, 1000)).kind).toBe('granted');
    expect(await quorum.acquire('a', freshNonce(), 1000)).toEqual({ kind: 'held' });
  });
});
