import type { Clock } from '../ports/clock.js';
import type { Observer } from '../ports/observer.js';
import type { Key } from '../words/key.js';
import type { LeaseEnd, LeaseReason } from '../words/outcome.js';
import { PassingMap } from '../words/passing-map.js';
import type { ArmedLease } from '../words/record.js';
import type { Token } from '../words/token.js';
import type { Span } from '../words/trace.js';
import { type DeadlineHandle, Deadlines } from './deadlines.js';

/** A lease that this replica granted and that has not ended, as far as it knows. */
export interface HeldLease {
  readonly key: Key;
  readonly nonce: string;
  /** Unless `armed`, the store does not know it, and its publish feeds only this replica's waiters. */
  readonly kind: Token['kind'];
  /** 0 unless armed. */
  readonly fence: number;
  readonly sinceMs: number;
  readonly leaseMs: number;
  readonly holder: string;
  readonly traceparent: string;
  readonly requestKey: string;
  readonly reason: LeaseReason;
  /** The count of changes when it was granted. Later changes may be missing from what its holder read. */
  readonly givenAt: number;
  /** The span of the lease in its holder's trace. The code that takes the lease ends it. */
  readonly span?: Span | undefined;
  untilMs: number;
  /** The end that the store has confirmed, if any. The record's end is no earlier. */
  storedUntilMs?: number | undefined;
  owner: number;
}

/** A lease, and what is kept with it. */
interface Kept {
  readonly lease: HeldLease;
  /** Its value may be passed on without the store: no change of the key, and no other lease of it from this replica. */
  feeds: boolean;
  /** The observer has been told how it ended. */
  told: boolean;
  /** Fires at the end as it is known here. */
  alarm: DeadlineHandle<Kept> | undefined;
}

/** {@link HeldLeases.remove} */
export interface Removed {
  readonly lease: HeldLease;
  /** The observer has been told that it expired. */
  readonly isTold: boolean;
}

/** A running lease, for display. It contains nothing that would allow acting on the lease. */
export interface ShownLease {
  readonly namespace: string;
  readonly key: string;
  readonly holder: string;
  readonly reason: LeaseReason;
  readonly kind: Token['kind'];
  readonly ageMs: number;
  readonly leftMs: number;
  /** As granted, without extensions. */
  readonly leaseMs: number;
  /** The callers that wait for it on this replica. */
  readonly waiters: number;
  /** The W3C traceparent of its rebuild, or empty. */
  readonly traceparent: string;
}

export interface ShownLeases {
  readonly leases: readonly ShownLease[];
  /** All running leases, shown or not. */
  readonly count: number;
  readonly waiters: number;
}

/**
 * What this replica remembers about the leases that it granted: how long a rebuild took, whose publish may feed its
 * waiters when the store cannot say, and who holds a key when nothing else can tell. Each is kept until its end is
 * known. When its time is up, `atEnd` finds out.
 */
export class HeldLeases {
  readonly #byNonce = new PassingMap<string, Kept>();
  /** The last one of each key. */
  readonly #byKey = new PassingMap<string, Kept>();
  readonly #alarms: Deadlines<Kept>;
  /** Listeners for the end of a lease, by its nonce. */
  readonly #watchers = new PassingMap<string, (end: LeaseEnd | undefined) => void>();

  /** Calls `atEnd` when a lease has expired as far as this replica knows. By default the lease then ends. */
  constructor(
    private readonly parts: { readonly clock: Clock; readonly observer: Observer },
    private readonly atEnd: (lease: HeldLease) => void = ({ nonce }) => this.end(nonce, 'expired'),
  ) {
    this.#alarms = new Deadlines(parts.clock, (kept) => this.#timeIsUp(kept));
  }

  /** How many run now. */
  get count(): number {
    return this.#running().length;
  }

  /** How many of one namespace run now. */
  countOf(namespace: string): number {
    return this.#running().filter(({ key }) => key.namespace === namespace).length;
  }

  /** A lease that was handed out again is another caller's: what watched it until now hears that it need not any more. */
  add(lease: HeldLease): void {
    const watcher = this.#watchers.get(lease.nonce);
    this.#drop(lease.nonce);
    watcher?.(undefined);
    const before = this.#byKey.get(lease.key.id);
    if (before !== undefined) before.feeds = false;
    const kept: Kept = { lease, feeds: true, told: false, alarm: undefined };
    this.#byNonce.set(lease.nonce, kept);
    this.#byKey.set(lease.key.id, kept);
    this.#wakeAt(kept, lease.untilMs - this.parts.clock.nowMs());
  }

  get(nonce: string): HeldLease | undefined {
    return this.#byNonce.get(nonce)?.lease;
  }

  /** Calls `atEnd` again after `ms`. */
  askAgainIn(nonce: string, ms: number): void {
    const kept = this.#byNonce.get(nonce);
    if (kept !== undefined) this.#wakeAt(kept, ms);
  }

  /** It was extended, perhaps on another replica, and lasts for `ms` from now on. */
  lastsFor(nonce: string, ms: number): void {
    const kept = this.#byNonce.get(nonce);
    if (kept === undefined) return;
    kept.lease.untilMs = this.parts.clock.nowMs() + ms;
    this.#wakeAt(kept, ms);
  }

  /** Whether something listens to its end. */
  isWatched(nonce: string): boolean {
    return this.#watchers.has(nonce);
  }

  /** The key changed, so its last lease was granted for something older. */
  keyChanged(id: string): void {
    const kept = this.#byKey.get(id);
    if (kept !== undefined) kept.feeds = false;
  }

  /** Whether its value may be passed on without the store: its time runs, and the key has not changed. */
  feeds(nonce: string): boolean {
    const kept = this.#byNonce.get(nonce);
    return kept?.feeds === true && kept.lease.untilMs > this.parts.clock.nowMs();
  }

  /** Calls `ended` once when the lease ends, with undefined if its holder ended it, or if something else watches it now. */
  watch(nonce: string, ended: (end: LeaseEnd | undefined) => void): void {
    if (!this.#byNonce.has(nonce)) return;
    const before = this.#watchers.get(nonce);
    this.#watchers.set(nonce, ended);
    before?.(undefined);
  }

  /**
   * Forgets a lease that its holder has ended. The caller of this method reports how it ended, unless it `isTold`: its time
   * was up before, and its span has ended too.
   */
  remove(nonce: string): Removed | undefined {
    const watcher = this.#watchers.get(nonce);
    const isTold = this.#byNonce.get(nonce)?.told === true;
    const lease = this.#drop(nonce);
    watcher?.(undefined);
    return lease && { lease: isTold ? { ...lease, span: undefined } : lease, isTold };
  }

  /** Reports how a lease ended that {@link remove} has returned. */
  report({ lease, isTold }: Removed, end: LeaseEnd): void {
    if (!isTold) this.#reportEnd(lease, end, 0);
  }

  /** Forgets the lease and reports that it ended `agoMs` before now. */
  end(nonce: string, end: LeaseEnd, agoMs = 0): void {
    const watcher = this.#watchers.get(nonce);
    const kept = this.#byNonce.get(nonce);
    if (kept === undefined) return;
    this.#drop(nonce);
    watcher?.(end);
    this.#tell(kept, end, agoMs);
  }

  /** It has expired, although it is still armed. Its holder may still publish, and is not notified. */
  expired(nonce: string): void {
    const kept = this.#byNonce.get(nonce);
    if (kept !== undefined) this.#tell(kept, 'expired');
  }

  /** The store reports that the key's lease with this fence ended so, on any replica. */
  endedAt(id: string, fence: number, end: LeaseEnd): void {
    const lease = this.#byKey.get(id)?.lease;
    if (lease === undefined || lease.kind !== 'armed' || lease.fence > fence) return;
    // An invalidation raises the fence of the lease that it voids. Any other higher fence is that of a later lease,
    // which was granted because this one had expired.
    const isItsOwn = lease.fence === fence || end === 'invalidated';
    const isOver = lease.fence !== fence && lease.untilMs <= this.parts.clock.nowMs();
    this.end(lease.nonce, isItsOwn && !isOver ? end : 'expired');
  }

  /** The key's running lease, in the form of a record's. */
  running(id: string): ArmedLease | undefined {
    const lease = this.#byKey.get(id)?.lease;
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
      quorumLost: false,
    };
  }

  /** The `max` leases with the most waiters; among equals, those held longest come first. */
  shown(max: number, waitersOf: (id: string) => number): ShownLeases {
    const running = this.#running();
    const first: Ranked[] = [];
    let waiters = 0;
    for (const lease of running) {
      const here = waitersOf(lease.key.id);
      waiters += here;
      const last = first[max - 1];
      // They are in the order of their grants, so of many, most end at this line.
      if (max === 0 || (last !== undefined && !isBefore(lease, here, last))) continue;
      const at = first.findIndex((other) => isBefore(lease, here, other));
      first.splice(at < 0 ? first.length : at, 0, { lease, waiters: here });
      first.length = Math.min(first.length, max);
    }
    const nowMs = this.parts.clock.nowMs();
    const leases = first.map(({ lease, waiters }) => shownOf(lease, waiters, nowMs));
    return { leases, count: running.length, waiters };
  }

  #running(): HeldLease[] {
    const nowMs = this.parts.clock.nowMs();
    return [...this.#byNonce.values()].map(({ lease }) => lease).filter(({ untilMs }) => untilMs > nowMs);
  }

  #tell(kept: Kept, end: LeaseEnd, agoMs = 0): void {
    if (kept.told) return;
    kept.told = true;
    this.#reportEnd(kept.lease, end, agoMs);
  }

  /** A lease never counts for longer than its time, however late this replica learns of its end. */
  #reportEnd(lease: HeldLease, end: LeaseEnd, agoMs: number): void {
    const { clock, observer } = this.parts;
    const nowMs = clock.nowMs();
    const endedAtMs = Math.max(lease.sinceMs, Math.min(nowMs - agoMs, lease.untilMs));
    lease.span?.end({ leaseEnd: end, fence: lease.fence }, nowMs - endedAtMs);
    observer.leaseEnded(lease.key.namespace, end, endedAtMs - lease.sinceMs, lease.traceparent);
  }

  #wakeAt(kept: Kept, ms: number): void {
    kept.alarm?.cancel(kept);
    kept.alarm = this.#alarms.set(kept, Math.max(1, ms));
  }

  /** It may have been extended since the alarm was set. */
  #timeIsUp(kept: Kept): void {
    const { lease } = kept;
    if (this.#byNonce.get(lease.nonce) !== kept) return;
    const leftMs = lease.untilMs - this.parts.clock.nowMs();
    if (leftMs > 0) this.#wakeAt(kept, leftMs);
    else this.atEnd(lease);
  }

  #drop(nonce: string): HeldLease | undefined {
    const kept = this.#byNonce.get(nonce);
    if (kept === undefined) return undefined;
    const { lease } = kept;
    kept.alarm?.cancel(kept);
    this.#byNonce.delete(nonce);
    this.#watchers.delete(nonce);
    if (this.#byKey.get(lease.key.id) === kept) this.#byKey.delete(lease.key.id);
    return lease;
  }
}

/** A lease, and the number of its waiters here. */
type Ranked = { readonly lease: HeldLease; readonly waiters: number };

function isBefore(lease: HeldLease, waiters: number, other: Ranked): boolean {
  if (waiters !== other.waiters) return waiters > other.waiters;
  return lease.sinceMs < other.lease.sinceMs;
}

function shownOf(lease: HeldLease, waiters: number, nowMs: number): ShownLease {
  const { key, holder, reason, kind, sinceMs, untilMs, leaseMs, traceparent } = lease;
  const { namespace } = key;
  const times = { ageMs: nowMs - sinceMs, leftMs: untilMs - nowMs, leaseMs };
  return { namespace, key: key.key, holder, reason, kind, ...times, waiters, traceparent };
}
