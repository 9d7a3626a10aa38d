import { Degradation } from './degradation/degradation.js';
import { Indecision } from './degradation/indecision.js';
import { Lateness } from './degradation/lateness.js';
import { InvalidateValues } from './invalidate-values.js';
import { isDrawnToRefresh, refreshDraw } from './leasing/forecast.js';
import { HeldLeases, type ShownLeases } from './leasing/held-leases.js';
import { LeaseEnds } from './leasing/lease-ends.js';
import { type GranterParts, LeaseGranter } from './leasing/lease-granter.js';
import { LeaseLifecycle } from './leasing/lease-lifecycle.js';
import { RebuildSlots } from './leasing/rebuild-slots.js';
import { SharedTimers } from './leasing/shared-timers.js';
import type { NamespaceStore } from './ports/namespace-store.js';
import type { TagWake, WakeChannel } from './ports/wake-channel.js';
import { PublishValue } from './publish-value.js';
import { Changes } from './reading/changes.js';
import { ClockKeeper } from './reading/clock-keeper.js';
import { type Explanation, explanationOf } from './reading/explanation.js';
import { hitOf } from './reading/hit-of.js';
import { NearCache } from './reading/near-cache.js';
import { NearReader } from './reading/near-reader.js';
import { RebuildSamples } from './reading/rebuild-samples.js';
import { RecordReader } from './reading/record-reader.js';
import { labelOf } from './waiting/answer-labels.js';
import { KeyLoops, type KeyLoopsParts, type ShownWaits } from './waiting/key-loops.js';
import { overloaded } from './waiting/waiter-limits.js';
import { type Settled, Waiter } from './waiting/waiting-room.js';
import { WokenValues } from './woken-values.js';
import type { Call } from './words/call.js';
import type { Key } from './words/key.js';
import type {
  ExtendAnswer,
  GetOrLockAnswer,
  InvalidateAnswer,
  Lease,
  LeaseEnd,
  PublishAnswer,
  ReleaseOutcome,
  TakenOver,
} from './words/outcome.js';
import { NO_RECORD } from './words/record.js';
import type { Extend, GetOrLock, Invalidate, Publish, Release } from './words/requests.js';

export interface CoordinatorParts extends KeyLoopsParts, GranterParts {
  readonly wakes: WakeChannel;
  readonly namespaces: NamespaceStore;
  /** The size of this replica's near cache; 0 turns it off. */
  readonly nearCacheBytes: number;
  /** True while this process cannot keep up: no further caller may wait. Hits are served and leases can be ended. */
  overloaded?(): boolean;
}

/** The domain's entry point: one method per call. Outcomes are answers. Only what no authority can decide is an error. */
export class Coordinator {
  readonly #held: HeldLeases;
  readonly #near: NearCache;
  readonly #slots: RebuildSlots;
  readonly #reader: RecordReader;
  readonly #degradation: Degradation;
  readonly #indecision: Indecision;
  readonly #lifecycle: LeaseLifecycle;
  readonly #keyLoops: KeyLoops;
  readonly #publishValue: PublishValue;
  readonly #invalidateValues: InvalidateValues;
  readonly #changes = new Changes();
  readonly #stopListening: () => void;

  private readonly parts: CoordinatorParts;

  constructor(parts: CoordinatorParts) {
    const lateness = new Lateness(parts);
    this.#degradation = new Degradation(parts.observer, lateness, parts.quorum);
    this.#indecision = new Indecision(parts.clock, parts.observer);
    const store = this.#degradation.watchedStore(parts.store);
    const quorum = this.#degradation.watchedQuorum(parts.quorum);
    const namespaces = this.#degradation.watchedNamespaces(parts.namespaces);
    this.parts = { ...parts, clock: new SharedTimers(parts.clock), store, namespaces, quorum };
    this.#held = new HeldLeases(parts, (lease) => void ends.ask(lease));
    const ends = new LeaseEnds(this.parts, this.#held);
    const samples = new RebuildSamples();
    const keeper = new ClockKeeper(this.parts, this.#changes);
    this.#near = new NearCache(parts.nearCacheBytes);
    this.#slots = new RebuildSlots(this.parts, this.#held, (id) => this.#keyLoops.wake(id));
    this.#reader = new RecordReader(this.parts, {
      held: this.#held,
      changes: this.#changes,
      samples,
      keeper,
      lateness,
    });
    this.#lifecycle = new LeaseLifecycle(this.parts, this.#held, this.#slots);
    const granter = new LeaseGranter(this.parts, {
      held: this.#held,
      lifecycle: this.#lifecycle,
      slots: this.#slots,
      changes: this.#changes,
      keeper,
      lateness,
    });
    const reader = new NearReader(this.#reader, this.#near, this.#changes, parts);
    this.#keyLoops = new KeyLoops(this.parts, {
      granter,
      reader,
      slots: this.#slots,
      degradation: this.#degradation,
      indecision: this.#indecision,
      changes: this.#changes,
      lateness,
    });
    const wokenValues = new WokenValues(this.parts, {
      keyLoops: this.#keyLoops,
      near: this.#near,
      changes: this.#changes,
      degradation: this.#degradation,
    });
    this.#publishValue = new PublishValue(this.parts, {
      held: this.#held,
      lifecycle: this.#lifecycle,
      slots: this.#slots,
      keyLoops: this.#keyLoops,
      near: this.#near,
      changes: this.#changes,
      samples,
      keeper,
      lateness,
      wokenValues,
    });
    this.#invalidateValues = new InvalidateValues(this.parts, {
      held: this.#held,
      slots: this.#slots,
      keyLoops: this.#keyLoops,
      near: this.#near,
      changes: this.#changes,
    });
    this.#stopListening = parts.wakes.listen({
      wake: (wake) => {
        const { id, kind, fence } = wake;
        this.#held.endedAt(id, fence, kind);
        if (kind === 'published' || kind === 'invalidated') {
          this.#held.keyChanged(id);
          wokenValues.changed(wake);
          return;
        }
        this.#near.changed(id, fence);
        this.#keyLoops.wake(id);
      },
      namespaceWake: (it) => {
        if (it.kind === 'room') this.#slots.roomIn(it.namespace);
        else this.#namespaceChanged(it.namespace, it.wake);
      },
      resubscribed: () => {
        this.#changes.channelConfirmed();
        this.#near.clear();
        this.#keyLoops.wakeAll();
      },
      disconnected: () => this.#changes.channelDisconnected(),
    });
  }

  /** Callers of {@link getOrLock} that have no answer yet. */
  get waiters(): number {
    return this.#keyLoops.waiters;
  }

  /** How long the longest waiter has waited here; 0 if no caller waits. */
  get longestWaitMs(): number {
    return this.#keyLoops.longestWaitMs;
  }

  /** The running leases that this replica granted. */
  get leasesHeld(): number {
    return this.#held.count;
  }

  /** The `max` leases and the `max` keys with the most waiters here. They may wait for a lease of any replica. */
  shown(max: number): { readonly held: ShownLeases; readonly waits: ShownWaits } {
    const held = this.#held.shown(max, (id) => this.#keyLoops.waitersOf(id));
    return { held, waits: this.#keyLoops.shown(max) };
  }

  /** No attempt has had a winner for a while. */
  get undecided(): boolean {
    return this.#indecision.lasts;
  }

  get nearCacheBytes(): number {
    return this.#near.bytes;
  }

  /** Rejects with a CoordinationError of kind `exhausted` or `unavailable`. */
  getOrLock(request: GetOrLock, call: Call): Promise<GetOrLockAnswer> {
    return new Promise((resolve, reject) => {
      const near = this.getOrLockAtOnce(request, call, (it) =>
        it instanceof Error ? reject(it) : resolve(it),
      );
      if (near !== undefined) resolve(near);
    });
  }

  /** Returns a hit from memory, or calls `settled` once later. Throws where {@link getOrLock} would reject at once. */
  getOrLockAtOnce(request: GetOrLock, call: Call, settled: Settled): GetOrLockAnswer | undefined {
    const { clock, limits } = this.parts;
    const policy = this.parts.policyOf(request.key.namespace);
    // Drawn once per call. A new draw for each use would multiply the chances.
    const draw = refreshDraw(policy.earlyRefreshBeta, this.parts.chance.fraction());
    const near = this.#nearHit(request, draw);
    if (near !== undefined) return near;
    if (this.parts.overloaded?.() === true) throw overloaded();
    const waiter = new Waiter({
      request,
      call,
      arrival: this.#keyLoops.arrivals,
      arrivedMs: clock.nowMs(),
      staleAllowed: (request.stale ?? policy.stale) === 'allow',
      patienceMs: Math.min(request.waitMs ?? limits.waitMsMax, limits.waitMsMax),
      refreshDraw: draw,
      settled,
    });
    this.#keyLoops.admit(waiter);
    return undefined;
  }

  /** A fresh value from memory. None for READ_STORE, while changes may be missed, or if drawn to rebuild early. */
  #nearHit({ key, intent, read }: GetOrLock, draw: number): GetOrLockAnswer | undefined {
    const isTrusted = this.parts.wakes.live && this.#degradation.modeOfHit === 'none';
    if (intent === 'refresh' || read === 'store' || !isTrusted) return undefined;
    const snapshot = this.#near.get(key.id);
    if (snapshot === undefined) return undefined;
    const hit = hitOf(snapshot, this.parts.clock.nowMs(), false);
    if (hit?.fresh !== true) return undefined;
    const { rebuild } = snapshot.record;
    const mayBeDrawn = intent === 'rebuild' && draw > 0 && rebuild !== undefined;
    if (mayBeDrawn && isDrawnToRefresh(hit.freshForMs, rebuild, draw)) return undefined;
    const degraded = this.#degradation.modeOfHit;
    this.parts.observer.answered(key.namespace, labelOf(hit), degraded);
    return { outcome: hit, degraded };
  }

  /** Rejects as `unavailable` if the namespace's policy is to fail instead of degrading. */
  async explain(key: Key): Promise<Explanation> {
    const { record, past } = await this.#reader.explain(key);
    const waiters = this.#keyLoops.waitersOf(key.id);
    return explanationOf(record, past, { waiters, degraded: this.#degradation.modeOf(key.id) });
  }

  /** Takes back a lease whose caller left before the answer could be sent, or left with its session. */
  async giveBack(key: Key, lease: Lease, end: 'cancelled' | 'session_lost' = 'cancelled'): Promise<void> {
    await this.#lifecycle.giveBack(key, lease, end);
    this.#keyLoops.wake(key.id);
  }

  /** Calls `ended` once when a lease of this replica ends, with undefined if its holder ended it, or if another watches it. */
  watchLease({ token }: Lease, ended: (end: LeaseEnd | undefined) => void): void {
    this.#held.watch(token.nonce, ended);
  }

  /** Never rejects because the store is unavailable: the answer is then `not_stored`. */
  publish(request: Publish, call: Call): Promise<PublishAnswer> {
    return this.#publishValue.publish(request, call);
  }

  /** Rejects as `unavailable` if the store does not answer; releasing again is safe. */
  async release(request: Release, _call: Call): Promise<ReleaseOutcome> {
    const { key, token, failure } = request;
    const lease = token && this.#held.get(token.nonce);
    const feeds =
      lease !== undefined &&
      this.#held.feeds(lease.nonce) &&
      this.#changes.untouchedSince(key.namespace, [], lease.givenAt);
    const sentAt = this.#changes.heardUntil(lease?.givenAt ?? 0);
    const sent = { readAtMs: this.parts.clock.nowMs(), sentAt };
    const outcome = await this.#lifecycle.release(request);
    if (failure !== undefined && outcome === 'released' && token?.kind !== 'armed' && feeds) {
      // The store does not know this lease, so it passes no failure on to the callers that wait here.
      const { message, retryAfterMs = this.parts.policyOf(key.namespace).failureBackoffMs } = failure;
      const record = {
        ...NO_RECORD,
        failure: { message, fence: 0, retryAfterMs, count: 1, triedAgoMs: 0, clock: '' },
      };
      void this.#keyLoops.feed(key, record, sent);
    }
    this.#keyLoops.wake(key.id);
    return outcome;
  }

  /** Rejects as `unavailable` if it is unknown whether the lease lasts; extending again is safe. */
  async extend(request: Extend, _call: Call): Promise<ExtendAnswer> {
    return this.#lifecycle.extend(request);
  }

  /** The lease was extended on another session. Moves it there if it can be moved. */
  async takeOver({ key, token }: Extend, answer: ExtendAnswer): Promise<TakenOver> {
    return token === undefined ? { answer, taken: undefined } : this.#lifecycle.takeOver(key, token, answer);
  }

  /** Rejects as `unavailable` unless the store acknowledged every key; repeating it is safe. */
  async invalidate(request: Invalidate, _call: Call): Promise<InvalidateAnswer> {
    return this.#invalidateValues.invalidate(request);
  }

  /** From now on no caller waits or gets a lease here. Hits are still served, and running leases can be ended. */
  drain(): void {
    this.#keyLoops.drain();
  }

  /** Stops listening to wakes. Call it after the last answer. */
  close(): void {
    this.#stopListening();
  }

  /** A wake reports that tags of a namespace, or all of it, were invalidated. */
  #namespaceChanged(namespace: string, wake: TagWake | undefined): void {
    const isWhole = !this.#changes.namespaceChanged(namespace, wake);
    if (isWhole || wake === undefined || wake.all) this.#near.dropNamespace(namespace);
    else this.#near.dropTags(namespace, wake.tags);
  }
}
