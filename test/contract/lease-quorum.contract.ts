import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { driftMs } from '../../src/coordination/leasing/drift.js';
import type { Clock } from '../../src/coordination/ports/clock.js';
import type { Ballot, LeaseQuorum } from '../../src/coordination/ports/lease-quorum.js';
import { freshNonce } from '../support/fresh-nonce.js';

export interface QuorumUnderTest {
  readonly quorum: LeaseQuorum;
  /** The same quorum as another replica sees it. */
  readonly other: LeaseQuorum;
  readonly clock: Clock;
  /** Lets at least `ms` pass, on the clock and on the nodes. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

/** What every implementation of the quorum promises. */
export function leaseQuorumContract(start: () => Promise<QuorumUnderTest>): void {
  let under: QuorumUnderTest;
  let id: string;
  let ids = 0;
  beforeAll(async () => {
    under = await start();
  });
  afterAll(() => under.close());
  beforeEach(() => {
    ids += 1;
    id = `id-${ids}`;
  });

  async function granted(ballot: Promise<Ballot>) {
    const settled = await ballot;
    if (settled.kind !== 'granted') throw new Error(`expected granted, got ${settled.kind}`);
    return settled;
  }

  describe('acquire', () => {
    test('grants a free id, valid for the lease less the drift, counted from the request', async () => {
      const beforeMs = under.clock.nowMs();
      const grant = await granted(under.quorum.acquire(id, freshNonce(), 5_000));
      const afterMs = under.clock.nowMs();
      expect(grant.validUntilMs).toBeGreaterThanOrEqual(beforeMs + 5_000 - driftMs(5_000));
      expect(grant.validUntilMs).toBeLessThanOrEqual(afterMs + 5_000 - driftMs(5_000));
    });

    test('answers "held" to itself and to others until the lock is released', async () => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), 5_000));
      expect(await under.quorum.acquire(id, freshNonce(), 5_000)).toEqual({ kind: 'held' });
      expect(await under.other.acquire(id, freshNonce(), 5_000)).toEqual({ kind: 'held' });
      await under.quorum.release(id, nonce);
      await granted(under.other.acquire(id, freshNonce(), 5_000));
    });

    test('grants each lock under the given nonce', async () => {
      for (let at = 0; at < 10; at += 1) {
        const nonce = freshNonce();
        expect((await granted(under.quorum.acquire(id, nonce, 5_000))).nonce).toBe(nonce);
        // The same secret with another identity holds nothing.
        await under.other.release(id, nonce.replace(/\..*/, '.another'));
        expect(await under.other.acquire(id, freshNonce(), 5_000)).toEqual({ kind: 'held' });
        await under.quorum.release(id, nonce);
      }
    });

    test('grants again once the lock has expired', async () => {
      await granted(under.quorum.acquire(id, freshNonce(), 200));
      expect(await under.other.acquire(id, freshNonce(), 200)).toEqual({ kind: 'held' });
      await under.pass(210);
      await granted(under.other.acquire(id, freshNonce(), 200));
    });

    test('grants to at most one of many', async () => {
      const ballots = await Promise.all(
        Array.from({ length: 20 }, (_, at) =>
          (at % 2 ? under.quorum : under.other).acquire(id, freshNonce(), 5_000),
        ),
      );
      expect(ballots.filter(({ kind }) => kind === 'granted').length).toBeLessThanOrEqual(1);
    });

    test('locks one id and no other', async () => {
      await granted(under.quorum.acquire(id, freshNonce(), 5_000));
      await granted(under.quorum.acquire(`${id}-other`, freshNonce(), 5_000));
    });

    test('does not grant a lock that has no time left after the drift', async () => {
      expect(await under.quorum.acquire(id, freshNonce(), 2)).toEqual({ kind: 'undecided' });
      await granted(under.other.acquire(id, freshNonce(), 5_000));
    });
  });

  describe('extend', () => {
    test('lets the lock last from now on, even from another replica', async () => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), 300));
      await under.pass(100);
      const beforeMs = under.clock.nowMs();
      const extended = await granted(under.other.extend(id, nonce, 400));
      expect(extended.nonce).toBe(nonce);
      expect(extended.validUntilMs).toBeGreaterThanOrEqual(beforeMs + 400 - driftMs(400));
      await under.pass(250);
      expect(await under.other.acquire(id, freshNonce(), 300)).toEqual({ kind: 'held' });
    });

    test('never shortens the lock', async () => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), 5_000));
      await granted(under.quorum.extend(id, nonce, 100));
      await under.pass(150);
      expect(await under.other.acquire(id, freshNonce(), 300)).toEqual({ kind: 'held' });
    });

    test('locks again if the lock has expired and is free', async () => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), 100));
      await under.pass(110);
      await granted(under.quorum.extend(id, nonce, 5_000));
      expect(await under.other.acquire(id, freshNonce(), 300)).toEqual({ kind: 'held' });
    });

    test('answers "held" if another nonce holds the lock, and does not change that', async () => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), 100));
      await under.pass(110);
      const next = await granted(under.other.acquire(id, freshNonce(), 5_000));
      expect(await under.quorum.extend(id, nonce, 5_000)).toEqual({ kind: 'held' });
      await granted(under.other.extend(id, next.nonce, 5_000));
    });
  });

  describe('release', () => {
    test('removes only its own lock', async () => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), 5_000));
      await under.quorum.release(id, `${nonce.slice(0, -1)}${nonce.endsWith('A') ? 'B' : 'A'}`);
      expect(await under.other.acquire(id, freshNonce(), 5_000)).toEqual({ kind: 'held' });
      await under.other.release(id, nonce);
      await granted(under.quorum.acquire(id, freshNonce(), 5_000));
    });

    test('does nothing if the lock is free', async () => {
      await under.quorum.release(id, 'nobody');
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), 100));
      await under.pass(110);
      await under.quorum.release(id, nonce);
      await granted(under.quorum.acquire(id, freshNonce(), 5_000));
    });
  });
}
