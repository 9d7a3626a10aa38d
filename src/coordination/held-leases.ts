import type { Clock } from './clock.js';
import type { Key } from './key.js';
import type { LeaseReason } from './outcome.js';
import type { ArmedLease } from './record.js';
import type { Token } from './token.js';

/** A lease that this replica gave and that has not ended through it. */
export interface HeldLease {
  readonly key: Key;
  readonly nonce: string;
  /** Unless `armed`, no store knows it, and its publish feeds this replica's waiters only. */
  readonly kind: Token['kind'];
  readonly sinceMs: number;
  readonly leaseMs: number;
  readonly holder: string;
  readonly traceparent: string;
  readonly requestKey: string;
  readonly reason: LeaseReason;
  untilMs: number;
  owner: number;
}

/**
 * What this replica remembers of the leases it gave: how long a rebuild took, whose publish may feed its
 * waiters when the store cannot say, and the one lease a key that is given when nothing else can decide.
 * Bounded by the leases that run: those whose time is over are swept when others come.
 */
export class HeldLeases {
  readonly #byNonce = new Map<string, HeldLease>();
  readonly #unstoredByKey = new Map<string, HeldLease>();
  #sweepAt = 1_024;

  constructor(private readonly clock: Clock) {}

  /** How many run now. */
  get count(): number {
    this.#sweep();
    return this.#byNonce.size;
  }

  add(lease: HeldLease): void {
    if (this.#byNonce.size >= this.#sweepAt) {
      this.#sweep();
      // Doubling keeps the sweeping cheap however many run.
      this.#sweepAt = Math.max(1_024, this.#byNonce.size * 2);
    }
    this.#byNonce.set(lease.nonce, lease);
    if (lease.kind !== 'armed') this.#unstoredByKey.set(lease.key.id, lease);
  }

  get(nonce: string): HeldLease | undefined {
    return this.#byNonce.get(nonce);
  }

  end(nonce: string): HeldLease | undefined {
    const lease = this.#byNonce.get(nonce);
    if (lease === undefined) return undefined;
    this.#byNonce.delete(nonce);
    if (this.#unstoredByKey.get(lease.key.id) === lease) this.#unstoredByKey.delete(lease.key.id);
    return lease;
  }

  /** The lease of a key that no store knows, in the form in which a record would show it. */
  unstored(id: string): ArmedLease | undefined {
    const lease = this.#unstoredByKey.get(id);
    if (lease === undefined) return undefined;
    const nowMs = this.clock.nowMs();
    if (lease.untilMs <= nowMs) return undefined;
    return {
      nonce: lease.nonce,
      fence: 0,
      expiresInMs: lease.untilMs - nowMs,
      leaseMs: lease.leaseMs,
      ageMs: nowMs - lease.sinceMs,
      holder: lease.holder,
      traceparent: lease.traceparent,
      reason: lease.reason,
      requestKey: lease.requestKey,
      owner: lease.owner,
      byStoreAlone: false,
    };
  }

  #sweep(): void {
    const nowMs = this.clock.nowMs();
    for (const lease of this.#byNonce.values()) {
      if (lease.untilMs <= nowMs) this.end(lease.nonce);
    }
  }
}
