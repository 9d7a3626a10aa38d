import type { Attendant } from './attendant.js';
import type { Budget } from './budget.js';
import type { Call } from './call.js';
import type { Chance } from './clock.js';
import type { HeldLease, HeldLeases } from './held-leases.js';
import type { Key } from './key.js';
import type { LeasePorts, LeaseTerms } from './lease-terms.js';
import { ignoreLoss, undefinedIfLost } from './loss.js';
import type { NamespaceRecord, NamespaceStore } from './namespace-store.js';
import type { Observer } from './observer.js';
import type { PublishAnswer } from './outcome.js';
import type { KeyRecord } from './record.js';
import type { Publish } from './requests.js';
import { counted } from './tag-clock.js';
import { decodeTokenOf, type Token } from './token.js';
import type { Step } from './trace.js';
import type { StoredAnswer, StorePublish } from './value-store.js';

export interface PublisherParts extends LeasePorts {
  readonly chance: Chance;
  readonly observer: Observer;
  readonly namespaces: NamespaceStore;
}

/** Takes rebuilt values: to the store, whose word counts, and to those who wait on this replica. */
export class Publisher {
  constructor(
    private readonly parts: PublisherParts,
    private readonly held: HeldLeases,
    private readonly terms: Pick<LeaseTerms, 'endUnstored'>,
    private readonly budget: Pick<Budget, 'leave'>,
    private readonly attendant: Pick<Attendant, 'waitersOf' | 'feed' | 'wake'>,
  ) {}

  /** Never rejects for want of a store: that is `not_stored`. */
  async publish(request: Publish, call: Call): Promise<PublishAnswer> {
    const { clock, observer, namespaces } = this.parts;
    const { key } = request;
    const token = decodeTokenOf(call.identity, key, request.token);
    if (token === undefined) {
      observer.published(key.namespace, 'unknown_lease', undefined, call.traceparent);
      return { outcome: 'unknown_lease', fence: 0 };
    }
    // Whatever the outcome, the lease is over; its own wake must not be the one to tell so.
    const held = this.held.take(token.nonce);
    const rebuildMs = held === undefined ? undefined : clock.nowMs() - held.sinceMs;
    const answer =
      token.kind === 'armed'
        ? await this.#publishArmed(request, token, held, call)
        : this.#publishUnstored(request, token, held);
    const { outcome } = answer;
    observer.published(key.namespace, outcome, rebuildMs, call.traceparent);
    if (rebuildMs !== undefined && (outcome === 'stored' || outcome === 'stored_late')) {
      void namespaces.learn(key.namespace, rebuildMs).catch(ignoreLoss);
    }
    return answer;
  }

  async #publishArmed(
    request: Publish,
    token: Token,
    held: HeldLease | undefined,
    call: Call,
  ): Promise<PublishAnswer> {
    const { quorum, namespaces } = this.parts;
    const { key } = request;
    const result = this.#resultOf(request);
    // Asked together with the publish, for those who wait here; who comes meanwhile looks.
    const isWaitedFor = this.attendant.waitersOf(key.id) > 0;
    const looking = isWaitedFor
      ? namespaces.look(key.namespace, result.tags).catch(undefinedIfLost)
      : undefined;
    const step = call.trace?.begin('publish');
    let answer: StoredAnswer | typeof NOT_STORED;
    try {
      answer = await this.#store(key, { ...result, nonce: token.nonce, fence: token.fence });
    } catch (error) {
      ignoreLoss(error);
      answer = NOT_STORED;
    }
    const { outcome, fence, clock } = answer;
    // This replica gave the lease, so that it can vouch for the value without the store.
    const known = held?.key.id === key.id;
    if (outcome === 'stored' || outcome === 'stored_late')
      tell(answer, [held?.span, step], this.#feedCounted(key, recordOf(result, fence, clock), await looking));
    else if (outcome === 'not_stored' && known)
      tell(answer, [held?.span, step], this.attendant.feed(key, recordOf(result, fence, '')));
    else tell(answer, [held?.span, step]);
    // The answer does not wait for the lock nodes.
    void quorum.release(key.id, token.nonce).then(() => this.attendant.wake(key.id));
    void this.budget.leave(key.namespace, token.nonce);
    return { outcome, fence };
  }

  /** Those who wait here get what was stored, unless its tags were invalidated while it was rebuilt. */
  async #feedCounted(key: Key, record: KeyRecord, now: NamespaceRecord | undefined): Promise<number> {
    const value = now && record.value && counted(record.value, now.clock, now.stamps);
    if (value === record.value) return this.attendant.feed(key, record);
    this.attendant.wake(key.id);
    return 0;
  }

  /** Sent again once where no reply came: a publish whose first reply was lost is answered DUPLICATE then. */
  async #store(key: Key, step: StorePublish): Promise<StoredAnswer> {
    const { store } = this.parts;
    try {
      return await store.publish(key.id, step);
    } catch (error) {
      ignoreLoss(error);
      const again = await store.publish(key.id, step);
      return again.outcome === 'duplicate' ? { ...again, outcome: 'stored' } : again;
    }
  }

  #publishUnstored(request: Publish, token: Token, held: HeldLease | undefined): PublishAnswer {
    const { key } = request;
    const answer: PublishAnswer = { outcome: 'not_stored', fence: 0 };
    const known = held?.key.id === key.id;
    const feeding = known ? this.attendant.feed(key, recordOf(this.#resultOf(request), 0, '')) : undefined;
    tell(answer, [held?.span], feeding);
    void this.terms.endUnstored(key, token, 'published').then(() => this.attendant.wake(key.id));
    return answer;
  }

  /** What a publish stores, with what the namespace's policy adds. Drawn once: what waiters get is what is stored. */
  #resultOf({ key, payload, ttlMs, staleMs, tags }: Publish): Result {
    const { limits, chance } = this.parts;
    const policy = this.parts.policyOf(key.namespace);
    return {
      payload,
      // Only ever shortened: nothing is fresh for longer than its publisher said.
      ttlMs: Math.max(1, Math.round(ttlMs * (1 - policy.ttlJitter * chance.fraction()))),
      staleMs: staleMs ?? policy.staleMs,
      tags,
      keepMs: limits.leaseMsMax,
    };
  }
}

const NOT_STORED = { outcome: 'not_stored', fence: 0, clock: '' } as const;

type Result = Omit<StorePublish, 'nonce' | 'fence'>;

/** What the store would show of a result just now. */
function recordOf({ payload, ttlMs, staleMs, tags }: Result, fence: number, clock: string): KeyRecord {
  const servableForMs = ttlMs + staleMs;
  const value = { payload, freshForMs: ttlMs, servableForMs, staleMs, ageMs: 0, fence, clock, tags };
  return { fence, valueFence: fence, value };
}

/** Closes the circle of a stampede: the lease's span, and the publish's, say how many callers were served. */
function tell(
  { outcome, fence }: PublishAnswer,
  spans: readonly (Step | undefined)[],
  feeding: Promise<number> = Promise.resolve(0),
): void {
  // Most calls are in no trace, and need no further turn.
  if (spans.every((span) => span === undefined)) return;
  void feeding.then((served) => {
    for (const span of spans) span?.end({ outcome, fence, served });
  });
}
