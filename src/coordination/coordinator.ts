import { Attendant, type AttendantParts } from './attendant.js';
import type { Call } from './call.js';
import { refreshDraw } from './forecast.js';
import { HeldLeases } from './held-leases.js';
import type { Key } from './key.js';
import { Ladder } from './ladder.js';
import { LeaseDesk } from './lease-desk.js';
import { ignoreLoss, LeaseTerms, lost } from './lease-terms.js';
import type {
  ExtendAnswer,
  GetOrLockAnswer,
  InvalidateAnswer,
  Lease,
  PublishAnswer,
  ReleaseOutcome,
} from './outcome.js';
import { type KeyRecord, NO_RECORD } from './record.js';
import type { Extend, GetOrLock, Invalidate, Publish, Release } from './requests.js';
import { decodeToken, type Token } from './token.js';
import type { StorePublish } from './value-store.js';
import { Waiter } from './waiting-room.js';
import type { WakeChannel } from './wake-channel.js';

export interface CoordinatorParts extends AttendantParts {
  readonly wakes: WakeChannel;
}

/** The domain's front: one method a call. Outcomes are answers; only what nobody can decide is an error. */
export class Coordinator {
  readonly #held: HeldLeases;
  readonly #terms: LeaseTerms;
  readonly #attendant: Attendant;
  readonly #stopListening: () => void;

  private readonly parts: CoordinatorParts;

  constructor(parts: CoordinatorParts) {
    const ladder = new Ladder(parts.observer);
    const store = ladder.watchedStore(parts.store);
    const quorum = ladder.watchedQuorum(parts.quorum);
    this.parts = { ...parts, store, quorum };
    this.#held = new HeldLeases(parts);
    this.#terms = new LeaseTerms(this.parts, this.#held);
    const desk = new LeaseDesk(this.parts, this.#held, this.#terms);
    this.#attendant = new Attendant(this.parts, desk, this.#held, ladder);
    this.#stopListening = parts.wakes.listen({
      wake: ({ id, kind, fence }) => {
        this.#held.endedAt(id, fence, kind);
        this.#attendant.wake(id);
      },
      resubscribed: () => this.#attendant.wakeAll(),
      lost: () => {},
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

  /** Rejects with a CoordinationError of kind `exhausted` or `unavailable`. */
  async getOrLock(request: GetOrLock, call: Call): Promise<GetOrLockAnswer> {
    const { clock, limits } = this.parts;
    const policy = this.parts.policyOf(request.key.namespace);
    const patienceMs = Math.min(request.waitMs ?? limits.waitMsMax, limits.waitMsMax);
    const staleAllowed = (request.stale ?? policy.stale) === 'allow';
    const waiter = new Waiter(
      request,
      call,
      this.#attendant.arrivals,
      clock.nowMs(),
      staleAllowed,
      patienceMs,
      refreshDraw(policy.earlyRefreshBeta, this.parts.chance.fraction()),
    );
    this.#attendant.admit(waiter);
    return waiter.answered;
  }

  /** The lease was granted, but its caller had gone before the answer could be sent. */
  async giveBack(key: Key, lease: Lease): Promise<void> {
    await this.#terms.giveBack(key, lease);
    this.#attendant.wake(key.id);
  }

  /** Never rejects for want of a store: that is `not_stored`. */
  async publish(request: Publish, _call: Call): Promise<PublishAnswer> {
    const { key } = request;
    const token = decodeToken(key, request.token);
    if (token === undefined) {
      this.parts.observer.published(key.namespace, 'unknown_lease', undefined);
      return { outcome: 'unknown_lease', fence: 0 };
    }
    // Whatever the outcome, the lease is over; its own wake must not be the one to tell so.
    const held = this.#held.take(token.nonce);
    const rebuildMs = held === undefined ? undefined : this.parts.clock.nowMs() - held.sinceMs;
    const known = held?.key.id === key.id;
    const answer =
      token.kind === 'armed'
        ? await this.#publishArmed(request, token, known)
        : this.#publishUnstored(request, token, known);
    this.parts.observer.published(key.namespace, answer.outcome, rebuildMs);
    return answer;
  }

  /** Rejects as `unavailable` if the store does not answer; releasing again is safe. */
  async release(request: Release, _call: Call): Promise<ReleaseOutcome> {
    const { key, failure } = request;
    const outcome = await this.#terms.release(request);
    const token = decodeToken(key, request.token);
    if (failure !== undefined && outcome === 'released' && token?.kind !== 'armed') {
      // No store carries this failure to those who wait for it here.
      const { message, retryAfterMs = this.parts.policyOf(key.namespace).failureBackoffMs } = failure;
      void this.#attendant.feed(key, {
        ...NO_RECORD,
        failure: { message, fence: 0, retryAfterMs, count: 1 },
      });
    }
    this.#attendant.wake(key.id);
    return outcome;
  }

  /** Rejects as `unavailable` where nobody can say whether the lease lasts; extending again is safe. */
  async extend(request: Extend, _call: Call): Promise<ExtendAnswer> {
    return this.#terms.extend(request);
  }

  /** Rejects as `unavailable` unless the store acknowledged every key; repeating it is safe. */
  async invalidate(request: Invalidate, _call: Call): Promise<InvalidateAnswer> {
    const { store, limits } = this.parts;
    const step = { mode: request.mode, keepMs: limits.leaseMsMax };
    const results = await Promise.allSettled(request.keys.map((key) => store.invalidate(key.id, step)));
    let keysInvalidated = 0;
    let leasesVoided = 0;
    let acknowledged = true;
    for (const [at, key] of request.keys.entries()) {
      const result = results[at];
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
      this.#attendant.wake(key.id);
    }
    if (!acknowledged)
      throw lost('the value store does not answer, so not every key is invalidated; invalidate again');
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

  /** `known`: this replica gave the lease, so that it can vouch for the value without the store. */
  async #publishArmed(request: Publish, token: Token, known: boolean): Promise<PublishAnswer> {
    const { quorum } = this.parts;
    const { key } = request;
    const result = this.#resultOf(request);
    let answer: PublishAnswer;
    try {
      answer = await this.#store(key, { ...result, nonce: token.nonce, fence: token.fence });
    } catch (error) {
      ignoreLoss(error);
      answer = { outcome: 'not_stored', fence: 0 };
    }
    const { outcome, fence } = answer;
    if (outcome === 'stored' || outcome === 'stored_late' || (outcome === 'not_stored' && known)) {
      void this.#attendant.feed(key, recordOf(result, fence));
    }
    // The answer does not wait for the lock nodes.
    void quorum.release(key.id, token.nonce).then(() => this.#attendant.wake(key.id));
    return answer;
  }

  /** Sent again once where no reply came: a publish whose first reply was lost is answered DUPLICATE then. */
  async #store(key: Key, step: StorePublish): Promise<PublishAnswer> {
    const { store } = this.parts;
    try {
      return await store.publish(key.id, step);
    } catch (error) {
      ignoreLoss(error);
      const again = await store.publish(key.id, step);
      return again.outcome === 'duplicate' ? { ...again, outcome: 'stored' } : again;
    }
  }

  #publishUnstored(request: Publish, token: Token, known: boolean): PublishAnswer {
    const { key } = request;
    if (known) void this.#attendant.feed(key, recordOf(this.#resultOf(request), 0));
    void this.#terms.endUnstored(key, token, 'published').then(() => this.#attendant.wake(key.id));
    return { outcome: 'not_stored', fence: 0 };
  }

  /** What a publish stores, with what the namespace's policy adds. Drawn once: what waiters get is what is stored. */
  #resultOf({ key, payload, ttlMs, staleMs }: Publish): Result {
    const { limits, chance } = this.parts;
    const policy = this.parts.policyOf(key.namespace);
    return {
      payload,
      // Only ever shortened: nothing is fresh for longer than its publisher said.
      ttlMs: Math.max(1, Math.round(ttlMs * (1 - policy.ttlJitter * chance.fraction()))),
      staleMs: staleMs ?? policy.staleMs,
      keepMs: limits.leaseMsMax,
    };
  }

  /** Broken at once, so that nobody waits behind a rebuild whose publish is refused already. */
  #breakVoided(key: Key, nonce: string): void {
    this.#held.end(nonce, 'invalidated');
    void this.parts.quorum.release(key.id, nonce).then(() => this.#attendant.wake(key.id));
  }
}

type Result = Omit<StorePublish, 'nonce' | 'fence'>;

/** What the store would show of a result just now. */
function recordOf({ payload, ttlMs, staleMs }: Result, fence: number): KeyRecord {
  const value = { payload, freshForMs: ttlMs, servableForMs: ttlMs + staleMs, ageMs: 0, fence };
  return { fence, valueFence: fence, value };
}
