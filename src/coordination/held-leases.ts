import type { Clock } from './clock.js';
import type { Key } from './key.js';
import type { Observer } from './observer.js';
import type { LeaseEnd, LeaseReason } from './outcome.js';
import type { ArmedLease } from './record.js';
import type { Token } from './token.js';
import type { Step } from './trace.js';

/** A lease that this replica gave and that has not ended, as far as it knows. */
export interface HeldLease {
  readonly key: Key;
  readonly nonce: string;
  /** Unless `armed`, no store knows it, and its publish feeds this replica's waiters only. */
  readonly kind: Token['kind'];
  /** 0 unless armed. */
  readonly fence: number;
  readonly sinceMs: number;
  readonly leaseMs: number;
  readonly holder: string;
  readonly traceparent: string;
  readonly requestKey: string;
  readonly reason: LeaseReason;
  /** Stands for the lease in the trace of its holder; whoever takes the lease ends it. */
  readonly span?: Step;
  untilMs: number;
  owner: number;
}

/** A lease that runs, as a person may see it: nothing in it lets anybody act on the lease. */
export interface ShownLease {
  readonly namespace: string;
  readonly key: string;
  readonly holder: string;
  readonly reason: LeaseReason;
  readonly kind: Token['kind'];
  readonly ageMs: number;
  readonly leftMs: number;
  /** As it was given; an extension may have added to it. */
  readonly leaseMs: number;
  /** Who waits for it on this replica. */
  readonly waiters: number;
}

export interface ShownLeases {
  readonly leases: readonly ShownLease[];
  /** Of all that run, shown or not. */
  readonly count: number;
  readonly waiters: number;
}

/**
 * What this replica remembers of the leases it gave: how long a rebuild took, whose publish may feed its
 * waiters when the store cannot say, and who holds a key when nothing else can tell.
 * Bounded by the leases that run: those whose time is over are swept when others come.
 */
export class HeldLeases {
  readonly #byNonce = new Map<string, HeldLease>();
  /** The last one of each key. */
  readonly #byKey = new Map<string, HeldLease>();
  /** Who wants to hear of the end of a lease, by its nonce. */
  readonly #watchers = new Map<string, (end: LeaseEnd | undefined) => void>();
  #sweepAt = 1_024;

  constructor(private readonly parts: { readonly clock: Clock; readonly observer: Observer }) {}

  /** How many run now. */
  get count(): number {
    this.#sweep();
    return this.#byNonce.size;
  }

  /** How many of one namespace run now. */
  countOf(namespace: string): number {
    this.#sweep();
    return [...this.#byNonce.values()].filter(({ key }) => key.namespace === namespace).length;
  }

  add(lease: HeldLease): void {
    if (this.#byNonce.size >= this.#sweepAt) {
      this.#sweep();
      // Doubling keeps the sweeping cheap however many run.
      this.#sweepAt = Math.max(1_024, this.#byNonce.size * 2);
    }
    this.#byNonce.set(lease.nonce, lease);
    this.#byKey.set(lease.key.id, lease);
  }

  get(nonce: string): HeldLease | undefined {
    return this.#byNonce.get(nonce);
  }

  /** `ended` is called once when the lease ends; with undefined when that is its holder's own word. */
  watch(nonce: string, ended: (end: LeaseEnd | undefined) => void): void {
    if (this.#byNonce.has(nonce)) this.#watchers.set(nonce, ended);
  }

  /** Forgets the lease by its holder's own word: whoever asks for it tells what became of it. */
  take(nonce: string): HeldLease | undefined {
    const watcher = this.#watchers.get(nonce);
    const lease = this.#drop(nonce);
    watcher?.(undefined);
    return lease;
  }

  /** Forgets the lease and tells how it ended. */
  end(nonce: string, end: LeaseEnd): void {
    const watcher = this.#watchers.get(nonce);
    const lease = this.#drop(nonce);
    if (lease === undefined) return;
    watcher?.(end);
    const { clock, observer } = this.parts;
    const heldMs = Math.min(clock.nowMs(), lease.untilMs) - lease.sinceMs;
    lease.span?.end({ leaseEnd: end, fence: lease.fence });
    observer.leaseEnded(lease.key.namespace, end, heldMs, lease.traceparent);
  }

  /** The store says that the key's lease with this fence ended, on whatever replica. */
  endedAt(id: string, fence: number, end: LeaseEnd): void {
    const lease = this.#byKey.get(id);
    if (lease !== undefined && lease.kind === 'armed' && lease.fence <= fence) this.end(lease.nonce, end);
  }

  /** The key's lease that runs, in the form in which a record would show it. */
  running(id: string): ArmedLease | undefined {
    const lease = this.#byKey.get(id);
    const nowMs = this.parts.clock.nowMs();
    if (lease === undefined || lease.untilMs <= nowMs) return undefined;
    return {
      nonce: lease.nonce,
      fence: lease.fence,
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

  /** The `max` that most callers wait for, those held longest first among equals. */
  shown(max: number, waitersOf: (id: string) => number): ShownLeases {
    this.#sweep();
    const first: Ranked[] = [];
    let waiters = 0;
    for (const lease of this.#byNonce.values()) {
      const here = waitersOf(lease.key.id);
      waiters += here;
      const last = first[max - 1];
      // They come in the order in which they were given: of many, most end at this line.
      if (max === 0 || (last !== undefined && !isBefore(lease, here, last))) continue;
      const at = first.findIndex((other) => isBefore(lease, here, other));
      first.splice(at < 0 ? first.length : at, 0, { lease, waiters: here });
      first.length = Math.min(first.length, max);
    }
    const nowMs = this.parts.clock.nowMs();
    const leases = first.map(({ lease, waiters }) => shownOf(lease, waiters, nowMs));
    return { leases, count: this.#byNonce.size, waiters };
  }

  #drop(nonce: string): HeldLease | undefined {
    const lease = this.#byNonce.get(nonce);
    if (lease === undefined) return undefined;
    this.#byNonce.delete(nonce);
    this.#watchers.delete(nonce);
    if (this.#byKey.get(lease.key.id) === lease) this.#byKey.delete(lease.key.id);
    return lease;
  }

  #sweep(): void {
    const nowMs = this.parts.clock.nowMs();
    for (const lease of this.#byNonce.values()) {
      if (lease.untilMs <= nowMs) this.end(lease.nonce, 'expired');
    }
  }
}

/** A lease, and how many wait for it here. */
type Ranked = { readonly lease: HeldLease; readonly waiters: number };

function isBefore(lease: HeldLease, waiters: number, other: Ranked): boolean {
  if (waiters !== other.waiters) return waiters > other.waiters;
  return lease.sinceMs < other.lease.sinceMs;
}

function shownOf(lease: HeldLease, waiters: number, nowMs: number): ShownLease {
  const { key, holder, reason, kind, sinceMs, untilMs, leaseMs } = lease;
  const { namespace } = key;
  const times = { ageMs: nowMs - sinceMs, leftMs: untilMs - nowMs, leaseMs };
  return { namespace, key: key.key, holder, reason, kind, ...times, waiters };
}
