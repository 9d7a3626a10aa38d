import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { driftMs } from '../../src/coordination/leasing/drift.js';
import type { Clock } from '../../src/coordination/ports/clock.js';
import type { Ballot, LeaseQuorum } from '../../src/coordination/ports/lease-quorum.js';
import { freshNonce } from '../support/fresh-nonce.js';
import { inRounds } from '../support/rounds.js';

/** Longer than any test. */
const LONG_MS = 60_000;
/** How long a lock lasts that ends during a test, and must not end before the next step. */
const ROUNDS_MS = [200, 2_000, 8_000];

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
  const another = () => {
    ids += 1;
    id = `id-${ids}`;
  };
  beforeEach(another);
  /** A test with a lock that ends after `ms`. */
  const timed = (name: string, round: (ms: number) => Promise<void>) =>
    test(name, () =>
      inRounds(ROUNDS_MS, async (ms) => {
        another();
        await round(ms);
      }),
    );

  async function granted(ballot: Promise<Ballot>) {
    const settled = await ballot;
    if (settled.kind !== 'granted') throw new Error(`expected granted, got ${settled.kind}`);
    return settled;
  }

  describe('acquire', () => {
    test('grants a free id, valid for the lease less the drift, counted from the request', async () => {
      const beforeMs = under.clock.nowMs();
      const grant = await granted(under.quorum.acquire(id, freshNonce(), LONG_MS));
      const afterMs = under.clock.nowMs();
      expect(grant.validUntilMs).toBeGreaterThanOrEqual(beforeMs + LONG_MS - driftMs(LONG_MS));
      expect(grant.validUntilMs).toBeLessThanOrEqual(afterMs + LONG_MS - driftMs(LONG_MS));
    });

    test('answers "held" to itself and to others until the lock is released', async () => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), LONG_MS));
      expect(await under.quorum.acquire(id, freshNonce(), LONG_MS)).toEqual({ kind: 'held' });
      expect(await under.other.acquire(id, freshNonce(), LONG_MS)).toEqual({ kind: 'held' });
      await under.quorum.release(id, nonce);
      await granted(under.other.acquire(id, freshNonce(), LONG_MS));
    });

    test('grants each lock under the given nonce', async () => {
      for (let at = 0; at < 10; at += 1) {
        const nonce = freshNonce();
        expect((await granted(under.quorum.acquire(id, nonce, LONG_MS))).nonce).toBe(nonce);
        // The same secret with another identity holds nothing.
        await under.other.release(id, nonce.replace(/\..*/, '.another'));
        expect(await under.other.acquire(id, freshNonce(), LONG_MS)).toEqual({ kind: 'held' });
        await under.quorum.release(id, nonce);
      }
    });

    timed('grants again once the lock has expired', async (ms) => {
      await granted(under.quorum.acquire(id, freshNonce(), ms));
      expect(await under.other.acquire(id, freshNonce(), ms)).toEqual({ kind: 'held' });
      await under.pass(ms + 10);
      await granted(under.other.acquire(id, freshNonce(), ms));
    });

    test('grants to at most one of many', async () => {
      const ballots = await Promise.all(
        Array.from({ length: 20 }, (_, at) =>
          (at % 2 ? under.quorum : under.other).acquire(id, freshNonce(), LONG_MS),
        ),
      );
      expect(ballots.filter(({ kind }) => kind === 'granted').length).toBeLessThanOrEqual(1);
    });

    test('locks one id and no other', async () => {
      await granted(under.quorum.acquire(id, freshNonce(), LONG_MS));
      await granted(under.quorum.acquire(`${id}-other`, freshNonce(), LONG_MS));
    });

    test('does not grant a lock that has no time left after the drift', async () => {
      expect(await under.quorum.acquire(id, freshNonce(), 2)).toEqual({ kind: 'undecided' });
      await granted(under.other.acquire(id, freshNonce(), LONG_MS));
    });
  });

  describe('extend', () => {
    timed('lets the lock last from now on, even from another replica', async (ms) => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), ms));
      await under.pass(ms / 2);
      const beforeMs = under.clock.nowMs();
      const extended = await granted(under.other.extend(id, nonce, 2 * ms));
      expect(extended.nonce).toBe(nonce);
      expect(extended.validUntilMs).toBeGreaterThanOrEqual(beforeMs + 2 * ms - driftMs(2 * ms));
      await under.pass(ms);
      expect(await under.other.acquire(id, freshNonce(), ms)).toEqual({ kind: 'held' });
    });

    timed('never shortens the lock', async (ms) => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), LONG_MS));
      await granted(under.quorum.extend(id, nonce, ms));
      await under.pass(ms + 10);
      expect(await under.other.acquire(id, freshNonce(), ms)).toEqual({ kind: 'held' });
    });

    timed('locks again if the lock has expired and is free', async (ms) => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), ms));
      await under.pass(ms + 10);
      await granted(under.quorum.extend(id, nonce, LONG_MS));
      expect(await under.other.acquire(id, freshNonce(), ms)).toEqual({ kind: 'held' });
    });

    timed('answers "held" if another nonce holds the lock, and does not change that', async (ms) => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), ms));
      await under.pass(ms + 10);
      const next = await granted(under.other.acquire(id, freshNonce(), LONG_MS));
      expect(await under.quorum.extend(id, nonce, LONG_MS)).toEqual({ kind: 'held' });
      await granted(under.other.extend(id, next.nonce, LONG_MS));
    });
  });

  describe('release', () => {
    test('removes only its own lock', async () => {
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), LONG_MS));
      await under.quorum.release(id, `${nonce.slice(0, -1)}${nonce.endsWith('A') ? 'B' : 'A'}`);
      expect(await under.other.acquire(id, freshNonce(), LONG_MS)).toEqual({ kind: 'held' });
      await under.other.release(id, nonce);
      await granted(under.quorum.acquire(id, freshNonce(), LONG_MS));
    });

    timed('does nothing if the lock is free', async (ms) => {
      await under.quorum.release(id, 'nobody');
      const { nonce } = await granted(under.quorum.acquire(id, freshNonce(), ms));
      await under.pass(ms + 10);
      await under.quorum.release(id, nonce);
      await granted(under.quorum.acquire(id, freshNonce(), LONG_MS));
    });
  });
}
