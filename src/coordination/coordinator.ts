import { labelOf } from './answer-labels.js';
import { Attendant, type AttendantParts } from './attendant.js';
import { Budget } from './budget.js';
import type { Call } from './call.js';
import { Changes } from './changes.js';
import { overloaded } from './crowd.js';
import { hitOf } from './decide.js';
import { type Explanation, explanationOf } from './explanation.js';
import { isDrawnToRefresh, refreshDraw } from './forecast.js';
import { HeldLeases, type ShownLeases } from './held-leases.js';
import type { Key } from './key.js';
import { Ladder } from './ladder.js';
import { LeaseDesk } from './lease-desk.js';
import { LeaseEnds } from './lease-ends.js';
import { LeaseTerms } from './lease-terms.js';
import { Looker } from './looker.js';
import { ignoreLoss, lost } from './loss.js';
import type { NamespaceStore } from './namespace-store.js';
import { NearCache } from './near-cache.js';
import { NearLooker } from './near-looker.js';
import type {
  ExtendAnswer,
  GetOrLockAnswer,
  InvalidateAnswer,
  Lease,
  LeaseEnd,
  PublishAnswer,
  ReleaseOutcome,
} from './outcome.js';
import { Publisher } from './publisher.js';
import { NO_RECORD, type PastLease } from './record.js';
import type { Extend, GetOrLock, Invalidate, Publish, Release } from './requests.js';
import type { TagClock } from './tag-clock.js';
import { decodeToken, decodeTokenOf } from './token.js';
import { type Settled, Waiter } from './waiting-room.js';
import type { TagWake, WakeChannel } from './wake-channel.js';

export interface CoordinatorParts extends AttendantParts {
  readonly wakes: WakeChannel;
  readonly namespaces: NamespaceStore;
  /** Of values that this replica may keep in memory; 0 for none. */
  readonly nearCacheBytes: number;
  /** This process cannot keep up: nobody else may wait, while hits are served and leases can be ended. */
  overloaded?(): boolean;
}

/** The domain's front: one method a call. Outcomes are answers; only what nobody can decide is an error. */
export class Coordinator {
  readonly #held: HeldLeases;
  readonly #near: NearCache;
  readonly #budget: Budget;
  readonly #looker: Looker;
  readonly #ladder: Ladder;
  readonly #terms: LeaseTerms;
  readonly #attendant: Attendant;
  readonly #publisher: Publisher;
  readonly #changes = new Changes();
  readonly #stopListening: () => void;

  private readonly parts: CoordinatorParts;

  constructor(parts: CoordinatorParts) {
    this.#ladder = new Ladder(parts.observer);
    const store = this.#ladder.watchedStore(parts.store);
    const quorum = this.#ladder.watchedQuorum(parts.quorum);
    const namespaces = this.#ladder.watchedNamespaces(parts.namespaces);
    this.parts = { ...parts, store, namespaces, quorum };
    this.#held = new HeldLeases(parts, (lease) => void ends.ask(lease));
    const ends = new LeaseEnds(this.parts, this.#held);
    this.#near = new NearCache(parts.nearCacheBytes);
    this.#budget = new Budget(this.parts, this.#held, (id) => this.#attendant.wake(id));
    this.#looker = new Looker(this.parts, this.#held, this.#changes);
    this.#terms = new LeaseTerms(this.parts, this.#held, this.#budget);
    const desk = new LeaseDesk(this.parts, this.#held, this.#terms, this.#budget, this.#changes);
    const looker = new NearLooker(this.#looker, this.#near, this.#changes);
    this.#attendant = new Attendant(this.parts, desk, looker, this.#budget, this.#ladder, this.#changes);
    this.#publisher = new Publisher(
      this.parts,
      this.#held,
      this.#terms,
      this.#budget,
      this.#attendant,
      this.#near,
      this.#changes,
    );
    this.#stopListening = parts.wakes.listen({
      wake: ({ id, kind, fence }) => {
        this.#held.endedAt(id, fence, kind);
        this.#near.changed(id, fence);
        if (kind === 'published' || kind === 'invalidated') this.#keyChanged(id, fence);
        else this.#attendant.wake(id);
      },
      namespaceWake: (it) => {
        if (it.kind === 'room') this.#budget.roomIn(it.namespace);
        else this.#namespaceChanged(it.namespace, it.wake);
      },
      resubscribed: () => {
        this.#changes.channelConfirmed();
        this.#near.clear();
        this.#attendant.wakeAll();
      },
      lost: () => this.#changes.channelLost(),
    });
  }

  /** Callers of {@link getOrLock} that have no answer yet. */
  get waiters(): number {
    return this.#attendant.waiters;
  }

  /** Leases that this replica gave and that run now. */
  get leasesHeld(): number {
    return this.#held.count;
  }

  /** The `max` of them that most callers wait for. */
  leasesShown(max: number): ShownLeases {
    return this.#held.shown(max, (id) => this.#attendant.waitersOf(id));
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

  /** Returns what is in this replica's memory; else `settled` is called once. Throws where that would reject at once. */
  getOrLockAtOnce(request: GetOrLock, call: Call, settled: Settled): GetOrLockAnswer | undefined {
    const { clock, limits } = this.parts;
    const policy = this.parts.policyOf(request.key.namespace);
    // One for each call, whoever asks by it: drawn anew, it would be a product of chances.
    const draw = refreshDraw(policy.earlyRefreshBeta, this.parts.chance.fraction());
    const near = this.#nearHit(request, draw);
    if (near !== undefined) return near;
    if (this.parts.overloaded?.() === true) throw overloaded();
    const patienceMs = Math.min(request.waitMs ?? limits.waitMsMax, limits.waitMsMax);
    const staleAllowed = (request.stale ?? policy.stale) === 'allow';
    const arrival = this.#attendant.arrivals;
    const nowMs = clock.nowMs();
    this.#attendant.admit(new Waiter(request, call, arrival, nowMs, staleAllowed, patienceMs, draw, settled));
    return undefined;
  }

  /** A fresh value from memory. None for READ_STORE, while changes go unheard, or if drawn to rebuild early. */
  #nearHit({ key, intent, read }: GetOrLock, draw: number): GetOrLockAnswer | undefined {
    const isTrusted = this.parts.wakes.live && this.#ladder.modeOfHit === 'none';
    if (intent === 'refresh' || read === 'store' || !isTrusted) return undefined;
    const view = this.#near.get(key.id);
    if (view === undefined) return undefined;
    const hit = hitOf(view, this.parts.clock.nowMs(), false);
    if (hit?.fresh !== true) return undefined;
    const { rebuild } = view.record;
    const mayBeDrawn = intent === 'rebuild' && draw > 0 && rebuild !== undefined;
    if (mayBeDrawn && isDrawnToRefresh(hit.freshForMs, rebuild, draw)) return undefined;
    const degraded = this.#ladder.modeOfHit;
    this.parts.observer.answered(key.namespace, labelOf(hit), degraded);
    return { outcome: hit, degraded };
  }

  /** Rejects as `unavailable` where the namespace rather fails than degrades. */
  async explain(key: Key): Promise<Explanation> {
    const view = await this.#looker.look(key, () => 0);
    let past: readonly PastLease[] = [];
    if (view.from === 'store') {
      try {
        past = (await this.parts.store.explain(key.id)).past;
      } catch (error) {
        ignoreLoss(error);
      }
    }
    const waiters = this.#attendant.waitersOf(key.id);
    return explanationOf(view, past, { waiters, degraded: this.#ladder.mode });
  }

  /** The lease was granted, but its caller had gone before the answer could be sent, or has gone with its session. */
  async giveBack(key: Key, lease: Lease, end: 'cancelled' | 'session_lost' = 'cancelled'): Promise<void> {
    await this.#terms.giveBack(key, lease, end);
    this.#attendant.wake(key.id);
  }

  /** `ended` is called once when a lease of this replica ends; with undefined when that is its holder's own word. */
  watchLease(key: Key, { token }: Lease, ended: (end: LeaseEnd | undefined) => void): void {
    const nonce = decodeToken(key, token)?.nonce;
    if (nonce !== undefined) this.#held.watch(nonce, ended);
  }

  /** Never rejects for want of a store: that is `not_stored`. */
  publish(request: Publish, call: Call): Promise<PublishAnswer> {
    return this.#publisher.publish(request, call);
  }

  /** Rejects as `unavailable` if the store does not answer; releasing again is safe. */
  async release(request: Release, { identity }: Call): Promise<ReleaseOutcome> {
    const { key, failure } = request;
    const token = decodeToken(key, request.token);
    const lease = token && this.#held.get(token.nonce);
    const feeds =
      lease !== undefined &&
      this.#held.feeds(lease.nonce) &&
      this.#changes.untouchedSince(key.namespace, [], lease.givenAt);
    const { count: sentAt } = this.#changes;
    const outcome = await this.#terms.release(request, identity);
    if (failure !== undefined && outcome === 'released' && token?.kind !== 'armed' && feeds) {
      // No store carries this failure to those who wait for it here.
      const { message, retryAfterMs = this.parts.policyOf(key.namespace).failureBackoffMs } = failure;
      const record = { ...NO_RECORD, failure: { message, fence: 0, retryAfterMs, count: 1 } };
      void this.#attendant.feed(key, record, sentAt);
    }
    this.#attendant.wake(key.id);
    return outcome;
  }

  /** Rejects as `unavailable` where nobody can say whether the lease lasts; extending again is safe. */
  async extend(request: Extend, { identity }: Call): Promise<ExtendAnswer> {
    return this.#terms.extend(request, identity);
  }

  /** The lease was extended on another session than it was given to: undefined, or the lease as that one has it now. */
  async takeOver(
    { key, token }: Extend,
    { identity }: Call,
    expiresInMs: number,
  ): Promise<Lease | undefined> {
    const decoded = decodeTokenOf(identity, key, token);
    return decoded && this.#terms.takeOver(key, decoded, expiresInMs);
  }

  /** Rejects as `unavailable` unless the store acknowledged every key; repeating it is safe. */
  async invalidate(request: Invalidate, _call: Call): Promise<InvalidateAnswer> {
    const { store, namespaces, limits } = this.parts;
    const { namespace, tags, all } = request;
    const step = { mode: request.mode, keepMs: limits.leaseMsMax };
    const isWide = all || tags.length > 0;
    const stamped = isWide ? namespaces.invalidate(namespace, request) : Promise.resolve(undefined);
    const voided = request.keys.map((key) => store.invalidate(key.id, step));
    const [[stamping], results] = await Promise.all([
      Promise.allSettled([stamped]),
      Promise.allSettled(voided),
    ]);
    let keysInvalidated = 0;
    let leasesVoided = 0;
    let acknowledged = stamping.status === 'fulfilled';
    if (stamping.status === 'rejected') ignoreLoss(stamping.reason);
    // Its wakes may come later than this answer, or never: whoever asks here from now on must not get what was before.
    // That holds too where no reply came, for it may have been done.
    if (isWide) this.#stamped(request, stamping.status === 'fulfilled' ? stamping.value : undefined);
    for (const [at, key] of request.keys.entries()) {
      const result = results[at];
      this.#near.drop(key.id);
      this.#keyChanged(
        key.id,
        result?.status === 'fulfilled' ? result.value.fence : Number.POSITIVE_INFINITY,
      );
      if (result?.status !== 'fulfilled') {
        ignoreLoss(result?.reason);
        acknowledged = false;
        continue;
      }
      if (result.value.hadValue) keysInvalidated += 1;
      if (result.value.voidedNonce !== undefined) {
        leasesVoided += 1;
        this.#breakVoided(key, result.value.voidedNonce);
      }
    }
    if (!acknowledged)
      throw lost('the value store does not answer, so not everything is invalidated; invalidate again');
    return { keysInvalidated, leasesVoided };
  }

  /** From now on nobody waits and nobody gets a lease here; hits go on, and running leases can be ended. */
  drain(): void {
    this.#attendant.drain();
  }

  /** Stops hearing wakes; to be called after the last answer. */
  close(): void {
    this.#stopListening();
  }

  #keyChanged(id: string, fence: number): void {
    this.#held.keyChanged(id);
    this.#attendant.changed(id, fence);
  }

  /** A wake says that tags of a namespace, or all of it, were invalidated. */
  #namespaceChanged(namespace: string, wake: TagWake | undefined): void {
    const isWhole = !this.#changes.namespaceChanged(namespace, wake);
    if (isWhole || wake === undefined || wake.all) this.#near.dropNamespace(namespace);
    else this.#near.dropTags(namespace, wake.tags);
  }

  /** This replica itself has invalidated tags, or all of a namespace; without a clock, perhaps. */
  #stamped({ namespace, tags, all }: Invalidate, clock: TagClock | undefined): void {
    const done = clock && { clockId: clock.id, time: clock.at, tags, all };
    this.#changes.invalidatedHere(namespace, done);
    if (all) this.#near.dropNamespace(namespace);
    else this.#near.dropTags(namespace, tags);
  }

  /** Broken at once, so that nobody waits behind a rebuild whose publish is refused already. */
  #breakVoided(key: Key, nonce: string): void {
    this.#held.end(nonce, 'invalidated');
    void this.parts.quorum.release(key.id, nonce).then(() => this.#attendant.wake(key.id));
    void this.#budget.leave(key.namespace, nonce);
  }
}
