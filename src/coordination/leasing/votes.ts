import type { Clock } from '../ports/clock.js';
import type { Ballot, LeaseQuorum } from '../ports/lease-quorum.js';
import type { Key } from '../words/key.js';
import type { Trace } from '../words/trace.js';
import type { Candidate } from './attempt.js';

/** The requested votes for a lease of a key. */
export interface Votes {
  readonly key: Key;
  /** The lease's secret; it belongs to one identity. */
  readonly nonce: string;
  readonly identity: string;
  readonly leaseMs: number;
  readonly askedMs: number;
  readonly ballot: Promise<Ballot>;
}

/** Asks the lock nodes, and records each vote in the caller's trace. */
export function ballotOf(
  quorum: Pick<LeaseQuorum, 'acquire'>,
  { id }: Key,
  nonce: string,
  leaseMs: number,
  trace: Trace | undefined,
): Promise<Ballot> {
  if (trace === undefined) return quorum.acquire(id, nonce, leaseMs);
  const step = trace.begin('acquire');
  const asked = quorum.acquire(id, nonce, leaseMs, (node, vote, tookMs) =>
    step.part('vote', tookMs, { node, vote }),
  );
  return asked.then((ballot) => {
    step.end({ ballot: ballot.kind });
    return ballot;
  });
}

/** A learned length may be off by this factor: it is a guess anyway, and lock and lease have the same length. */
const LENGTH_RATIO_MAX = 1.5;

/**
 * Votes that are requested together with the read of a key whose value has expired here. This saves a miss one of its
 * three round trips. The lease is armed only when the read and the majority are known. They are used once, or given
 * back.
 */
export class EarlyVotes {
  #isOver = false;

  constructor(
    private readonly votes: Votes,
    private readonly quorum: Pick<LeaseQuorum, 'release'>,
    private readonly clock: Clock,
  ) {}

  /** For this caller and a lease of `wantedMs`. Undefined if they do not fit: then they are given back. */
  take(waiter: Candidate, wantedMs: number): Votes | undefined {
    if (this.#isOver) return undefined;
    if (!this.#fit(waiter, wantedMs)) {
      this.giveUp();
      return undefined;
    }
    this.#isOver = true;
    return this.votes;
  }

  /** Gives them back, so that other replicas do not find the key held. */
  giveUp(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { key, nonce, ballot } = this.votes;
    // A ballot that was not granted has been taken back already.
    void ballot.then(({ kind }) => {
      if (kind === 'granted') void this.quorum.release(key.id, nonce);
    });
  }

  #fit({ request, call }: Candidate, wantedMs: number): boolean {
    const { identity, leaseMs, askedMs } = this.votes;
    // A read that took long: too little may be left of the locks.
    const isYoung = this.clock.nowMs() - askedMs < leaseMs / 4;
    const ratio = Math.max(wantedMs / leaseMs, leaseMs / wantedMs);
    const isLength = ratio <= (request.leaseMs === undefined ? LENGTH_RATIO_MAX : 1);
    return isYoung && isLength && call.identity === identity && request.read !== 'store';
  }
}
