import type { DeadlineHandle, Deadlines } from '../leasing/deadlines.js';
import type { Clock } from '../ports/clock.js';
import type { Arrival, Changes } from '../reading/changes.js';
import { copyOf, leaseLeftMs, type Snapshot } from '../reading/snapshot.js';
import type { Call } from '../words/call.js';
import type { Key } from '../words/key.js';
import type { GetOrLockAnswer } from '../words/outcome.js';
import type { ArmedLease, StoredValue } from '../words/record.js';
import type { GetOrLock } from '../words/requests.js';
import type { Span, Trace } from '../words/trace.js';
import type { Ask, ReadyHit } from './decide.js';

/** Called once, with the answer or the error. A callback, because a promise costs as much as a waiter. */
export type Settled = (answer: GetOrLockAnswer | Error) => void;

export interface WaiterParts {
  readonly request: GetOrLock;
  readonly call: Call;
  readonly arrival: number;
  readonly arrivedMs: number;
  readonly staleAllowed: boolean;
  /** How long it may wait; 0 means that it is answered before the room sleeps. */
  readonly patienceMs: number;
  /** `refreshDraw` of `forecast.ts`. */
  readonly refreshDraw: number;
  readonly settled: Settled;
}

/** One caller of GetOrLock from its arrival to its answer. */
export class Waiter implements Ask {
  readonly intent: Ask['intent'];
  readonly requestKey: string;
  waitsForFence = 0;
  waitsUntilMs = Number.POSITIVE_INFINITY;
  /** An attempt on its behalf is under way. */
  trying = false;
  /** What it gets if its time is up before it has a lease, by the last read that was shown to it. */
  meanwhile: (() => ReadyHit | undefined) | undefined;
  nodesLateSinceMs: number | undefined;
  /** Its position in the line when it came, from 1. */
  position = 1;
  #slept = false;
  #gone = false;
  #wait: Span | undefined;
  #waitsFor: Pick<ArmedLease, 'traceparent' | 'holder' | 'fence'> | undefined;
  #pointedTo = '';
  #changes: Changes | undefined;
  #came: Arrival | undefined;

  readonly request: GetOrLock;
  readonly call: Call;
  readonly arrival: number;
  readonly arrivedMs: number;
  readonly staleAllowed: boolean;
  readonly patienceMs: number;
  /** 0 after one attempt: no caller tries twice for a fresh value. */
  refreshDraw: number;
  private readonly settled: Settled;

  constructor(parts: WaiterParts) {
    const { request, call } = parts;
    this.request = request;
    this.call = call;
    this.arrival = parts.arrival;
    this.arrivedMs = parts.arrivedMs;
    this.staleAllowed = parts.staleAllowed;
    this.patienceMs = parts.patienceMs;
    this.refreshDraw = parts.refreshDraw;
    this.settled = parts.settled;
    this.intent = request.intent;
    this.requestKey = request.requestId === '' ? '' : `${call.identity}\n${request.requestId}`;
  }

  get storeOnly(): boolean {
    return this.request.read === 'store';
  }

  /** It has arrived, at this position in the order of the changes. */
  comes(came: Arrival, changes: Changes): void {
    this.#came = came;
    this.#changes = changes;
  }

  allows(snapshot: Snapshot): boolean {
    const { namespace } = this.request.key;
    return this.#came !== undefined && this.#changes?.allow(namespace, copyOf(snapshot), this.#came) === true;
  }

  /** Answered, failed, or its caller has left: nothing may be given to it any more. */
  get gone(): boolean {
    return this.#gone;
  }

  /** It could not be answered at once, so its answer ends a wait. */
  get slept(): boolean {
    return this.#slept;
  }

  /** From now on it waits, for this lease if there is one. */
  sleep(lease?: ArmedLease): void {
    this.#slept = true;
    const { trace } = this.call;
    if (trace === undefined) return;
    this.#wait ??= trace.begin('wait', { position: this.position });
    this.#waitsFor = lease ?? this.#waitsFor;
    const traceparent = lease?.traceparent ?? '';
    if (traceparent === this.#pointedTo) return;
    this.#pointedTo = traceparent;
    this.#wait.pointTo(traceparent);
  }

  /** It waits no longer. */
  wake(endedBy: string): void {
    if (this.#wait === undefined) return;
    // Recorded even if there is no link, because the holder's call may not be traced.
    const { holder, fence } = this.#waitsFor ?? {};
    this.#wait.end({ endedBy, holder, fence });
  }

  /** The first answer counts. Only the room's `leave` calls this. */
  settle(answer: GetOrLockAnswer | Error): void {
    if (this.#gone) return;
    this.#gone = true;
    this.settled(answer);
  }
}

/** The holder of the key, as far as the room knows; for the text of a busy answer. */
export interface KnownHolder {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/**
 * The callers of one key on this replica, first come, first served, and the timer of the key's loop. There is a timer
 * only while the loop sleeps.
 */
export class WaitingRoom {
  /** What the last read returned; undefined before the first. */
  snapshot: Snapshot | undefined;
  holder: KnownHolder | undefined;
  /** The last value that was read or published here. While it is also the store's, no read transfers it again. */
  known: StoredValue | undefined;
  readonly #waiters = new Map<Waiter, DeadlineHandle<Waiter> | undefined>();
  /** Callers that no read has been shown to yet. All others wait for the lease of the last read. */
  #owed: Waiter[] = [];
  /** Traced callers in the order of their arrival; most have left. */
  #traced: Waiter[] = [];
  #woken = false;
  /** The count after the last change of the key. Changes before the room existed are unknown. */
  #keyAt: number;
  /** The highest fence of any change of the key, as far as that is known; else Infinity. */
  #keyFence = Number.POSITIVE_INFINITY;
  /** The count after the last change of the key whose fence is unknown. */
  #unknownAt: number;
  #rouse: (() => void) | undefined;

  constructor(
    readonly key: Key,
    private readonly clock: Clock,
    private readonly deadlines: Deadlines<Waiter>,
    private readonly changes: Changes,
  ) {
    this.#keyAt = changes.count;
    this.#unknownAt = changes.count;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /** When the oldest caller here came; undefined if there is none. */
  get oldestArrivedMs(): number | undefined {
    const [oldest] = this.#waiters.keys();
    return oldest?.arrivedMs;
  }

  /** The trace of the oldest caller here that is traced. */
  get trace(): Trace | undefined {
    while (this.#traced[0]?.gone === true) this.#traced.shift();
    return this.#traced[0]?.call.trace;
  }

  /** In the order of their arrival. Callers may leave and enter while it runs. */
  waiters(): IterableIterator<Waiter> {
    return this.#waiters.keys();
  }

  /** The position of a caller that comes now, in the order of the changes. */
  get now(): Arrival {
    const { changes, key } = this;
    return {
      at: changes.count,
      keyAt: this.#keyAt,
      keyFence: this.#keyFence,
      wideAt: changes.wideAt(key.namespace),
    };
  }

  /** Admits the waiter, with a deadline unless that is Infinity. */
  enter(waiter: Waiter, expiresInMs: number): void {
    waiter.comes(this.now, this.changes);
    const isBounded = Number.isFinite(expiresInMs);
    this.#waiters.set(waiter, isBounded ? this.deadlines.set(waiter, expiresInMs) : undefined);
    this.#owed.push(waiter);
    waiter.position = this.#waiters.size;
    if (waiter.call.trace !== undefined) this.#traced.push(waiter);
  }

  /** False if it had left already. */
  leave(waiter: Waiter): boolean {
    const handle = this.#waiters.get(waiter);
    if (!this.#waiters.delete(waiter)) return false;
    handle?.cancel(waiter);
    // An empty room does not sleep: its loop ends, and its timer with it.
    if (this.#waiters.size === 0) this.#rouse?.();
    return true;
  }

  /** No slot was left for the last attempt. */
  heldBack = false;
  /** Callers that got another caller's rebuild. */
  served = 0;

  /** The change at this `count` has arrived, and the key's record has this fence since then. It wakes no loop. */
  change(count: number, fence: number): void {
    this.#keyAt = count;
    if (fence === Number.POSITIVE_INFINITY) this.#unknownAt = count;
    this.#keyFence = Math.max(this.#fenceBefore, fence);
  }

  /**
   * Wakes may come after the answer to a later change, so a change with an unknown fence may have a higher one than
   * those that come after it. No such change has a higher fence than a read that was sent since then.
   */
  get #fenceBefore(): number {
    if (this.#keyFence !== Number.POSITIVE_INFINITY) return this.#keyFence;
    const { snapshot } = this;
    const isNewer = snapshot?.from === 'store' && snapshot.sentAt >= this.#unknownAt;
    return isNewer ? snapshot.record.fence : Number.POSITIVE_INFINITY;
  }

  /** The key's loop reads again, at once or as soon as the current read has ended. */
  wake(): void {
    this.#woken = true;
    this.#rouse?.();
  }

  /** Called when a read is sent: later changes are not in it. */
  beginRead(): void {
    this.#woken = false;
  }

  /** The snapshot does not answer this waiter. The next one, sent from now on, must. */
  owe(waiter: Waiter): void {
    if (!waiter.gone) this.#owed.push(waiter);
  }

  /**
   * Notes a snapshot and returns the callers that it may concern, in the order of their arrival: all of them, or, if
   * nothing has changed for the others, those that no read has been shown to yet.
   */
  note(snapshot: Snapshot): Iterable<Waiter> {
    const unchanged = this.snapshot !== undefined && isWaitedFor(this.snapshot, snapshot, this.clock.nowMs());
    const owed = this.#owed;
    this.#owed = [];
    this.#learn(snapshot);
    return unchanged ? owed : this.waiters();
  }

  #learn(snapshot: Snapshot): void {
    this.known = snapshot.record.value ?? snapshot.uncounted ?? this.known;
    if (snapshot.from === 'publish') {
      this.holder = undefined;
      return;
    }
    this.snapshot = snapshot;
    const { lease } = snapshot.record;
    const nowMs = this.clock.nowMs();
    const leftMs = leaseLeftMs(snapshot, nowMs);
    this.holder =
      lease === undefined || leftMs <= 0
        ? undefined
        : { sinceMs: snapshot.readAtMs - lease.ageMs, untilMs: nowMs + leftMs };
  }

  /** Ends the sleep, if there is one, although nothing has changed. */
  rouse(): void {
    this.#rouse?.();
  }

  /** Sleeps until woken, until the last caller leaves, or for `ms`. Not at all if woken since {@link beginRead}. */
  sleep(ms: number): Promise<void> {
    if (this.#woken) return AWAKE;
    return new Promise((resolve) => {
      const cancel = Number.isFinite(ms) ? this.clock.after(ms, () => this.#rouse?.()) : () => {};
      this.#rouse = () => {
        this.#rouse = undefined;
        cancel();
        resolve();
      };
    });
  }
}

/** {@link WaitingRoom.sleep} where there is no reason to. */
const AWAKE = Promise.resolve();

/**
 * Both snapshots show the same lease, which runs, over the same value: a caller that waited by the first continues
 * waiting by the second. Avoids evaluating ten thousand waiters again on each read.
 */
function isWaitedFor(before: Snapshot, now: Snapshot, nowMs: number): boolean {
  const [was, is] = [before.record, now.record];
  return (
    now.from === 'store' &&
    before.from === 'store' &&
    was.lease !== undefined &&
    was.lease.nonce === is.lease?.nonce &&
    was.fence === is.fence &&
    was.valueFence === is.valueFence &&
    leaseLeftMs(now, nowMs) > 0
  );
}
