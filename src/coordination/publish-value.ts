import type { Lateness } from './degradation/lateness.js';
import { inPatience, unlessBefore } from './degradation/patience.js';
import { rethrowUnlessUnavailable, undefinedIfUnavailable } from './degradation/unavailable.js';
import type { HeldLease, HeldLeases } from './leasing/held-leases.js';
import { keepingLock } from './leasing/kept-lock.js';
import type { LeaseLifecycle, LeasePorts } from './leasing/lease-lifecycle.js';
import type { RebuildSlots } from './leasing/rebuild-slots.js';
import type { Chance } from './ports/clock.js';
import type { NamespaceStore } from './ports/namespace-store.js';
import type { NotStored, Observer } from './ports/observer.js';
import type { StoredAnswer, StorePublish, StoreUnavailable } from './ports/value-store.js';
import type { WakeChannel } from './ports/wake-channel.js';
import type { Changes } from './reading/changes.js';
import type { ClockKeeper } from './reading/clock-keeper.js';
import { outlasts } from './reading/counted.js';
import { justStored } from './reading/just-stored.js';
import type { NearCache } from './reading/near-cache.js';
import type { RebuildSamples } from './reading/rebuild-samples.js';
import type { Sent } from './waiting/key-loop.js';
import { type KeyLoops, SERVED_NONE } from './waiting/key-loops.js';
import type { WokenValues } from './woken-values.js';
import type { Call } from './words/call.js';
import type { Key } from './words/key.js';
import type { Degraded, PublishAnswer, PublishOutcome } from './words/outcome.js';
import type { KeyRecord } from './words/record.js';
import type { Publish } from './words/requests.js';
import type { Token } from './words/token.js';
import type { Span } from './words/trace.js';

export interface PublishValueParts extends LeasePorts {
  readonly chance: Chance;
  readonly observer: Observer;
  readonly namespaces: NamespaceStore;
  readonly wakes: Pick<WakeChannel, 'live'>;
}

/** The parts of this replica that a publish notifies or asks. */
export interface PublishValueRooms {
  readonly held: HeldLeases;
  readonly lifecycle: Pick<LeaseLifecycle, 'endUnstored'>;
  readonly slots: Pick<RebuildSlots, 'leave'>;
  readonly keyLoops: Pick<KeyLoops, 'waitersOf' | 'feed' | 'wake' | 'changed'>;
  readonly near: Pick<NearCache, 'changed'>;
  readonly changes: Changes;
  readonly samples: RebuildSamples;
  readonly keeper: Pick<ClockKeeper, 'forValue'>;
  readonly lateness: Pick<Lateness, 'owedSinceMs'>;
  readonly wokenValues: Pick<WokenValues, 'publishing'>;
}

/** Passes rebuilt values to the store, whose answer counts, and to the waiters on this replica. */
export class PublishValue {
  constructor(
    private readonly parts: PublishValueParts,
    private readonly rooms: PublishValueRooms,
  ) {}

  /**
   * Never rejects because the store is unavailable: the answer is then `not_stored`. Waits for a late store as long as
   * its caller does. The caller's answer is then not final: the store's answer still counts when it comes.
   */
  publish(request: Publish, call: Call): Promise<PublishAnswer> {
    const publishing = this.#publish(request, call);
    const { answerInMs } = call;
    if (!Number.isFinite(answerInMs)) return publishing;
    return unlessBefore(this.parts.clock, answerInMs, publishing, (resolve) => {
      this.parts.observer.publishUnanswered(request.key.namespace, answerInMs, call.traceparent);
      resolve({ outcome: 'not_stored', fence: 0, maybeStored: true });
    });
  }

  async #publish(request: Publish, call: Call): Promise<PublishAnswer> {
    const { clock, observer } = this.parts;
    const { key, token } = request;
    if (token === undefined) {
      observer.published(key.namespace, 'unknown_lease', undefined, call.traceparent);
      return { outcome: 'unknown_lease', fence: 0 };
    }
    // With any outcome the lease has ended. Its own wake must not be the first to report that.
    const { held, samples } = this.rooms;
    const feeds = held.feeds(token.nonce);
    const removed = held.remove(token.nonce);
    const lease = removed?.lease.key.id === key.id ? removed.lease : undefined;
    const rebuildMs = lease === undefined ? undefined : clock.nowMs() - lease.sinceMs;
    const given = { token, lease, feeds };
    let published: Published;
    try {
      published =
        token.kind === 'armed'
          ? await this.#publishArmed(request, given, call)
          : this.#publishUnstored(request, given);
    } catch (error) {
      if (removed !== undefined) held.report(removed, 'released');
      throw error;
    }
    const { answer, notStored } = published;
    const { outcome } = answer;
    const toldMs = removed?.isTold ? undefined : rebuildMs;
    observer.published(key.namespace, outcome, toldMs, call.traceparent, notStored);
    if (rebuildMs !== undefined && (outcome === 'stored' || outcome === 'stored_late')) {
      samples.add(key.namespace, rebuildMs);
    }
    return answer;
  }

  async #publishArmed(request: Publish, given: Given, call: Call): Promise<Published> {
    const { key } = request;
    const { token, lease } = given;
    const step = call.trace?.begin('publish');
    const spans = [lease?.span, step];
    const servedByWake = isTraced(spans) ? this.rooms.wokenValues.publishing(key.id) : undefined;
    try {
      const { answer, notStored, feeding } = await this.#storeAndFeed(request, given);
      tell(answer, spans, feeding, servedByWake?.());
      return { answer, notStored };
    } catch (error) {
      // Something else has the name of the key or of its namespace, or it is a fault of our own.
      void servedByWake?.();
      step?.end();
      throw error;
    } finally {
      // With an error too, the lease has ended. The answer does not wait for the lock nodes.
      void this.parts.quorum.release(key.id, token.nonce).then(() => this.rooms.keyLoops.wake(key.id));
      void this.rooms.slots.leave(key.namespace, token.nonce);
    }
  }

  async #storeAndFeed(request: Publish, given: Given): Promise<Published & { feeding: Promise<number> }> {
    const { key } = request;
    const { token, lease } = given;
    const result = this.#resultOf(request);
    // A change that arrives from here on may have come after the value was stored, and before the reply. The store
    // counts the value's time from when it took it, which was no earlier, so a late reply makes nothing last longer.
    const sent = this.#now();
    let stored: Stored | undefined;
    let notStored: NotStored | undefined;
    try {
      // Asked together: what the store keeps of the namespace must not end before the value.
      const outlives = this.rooms.keeper.forValue(key.namespace, result.ttlMs + result.staleMs);
      const lock = lease && { id: key.id, nonce: token.nonce, leaseMs: lease.leaseMs };
      const answer = this.#store(key, { ...result, nonce: token.nonce, fence: token.fence });
      const storing = outlives === undefined ? answer : Promise.all([answer, outlives]).then(([it]) => it);
      stored = await keepingLock(this.parts, lock, storing);
    } catch (error) {
      rethrowUnlessUnavailable(error);
      notStored = notStoredBy(error, result);
    }
    const answered = this.#answerOf(stored ?? { maybeStored: notStored?.cause === 'reply' }, key, result);
    const answer = answered instanceof Promise ? await answered : answered;
    const feeding =
      stored === undefined
        ? this.#feedUnstored(key, result, given, sent, 'store_lost')
        : this.#feedStored(key, justStored(result, stored.fence, stored.clock), sent, answer, stored);
    return { answer, notStored, feeding };
  }

  /**
   * This replica's own publish was answered. If it was stored, callers that come from now on must not get the near
   * cache's older copy, although the publish may still wait for other replies. A fence of 0 means that it has expired by now.
   */
  #heard<Answer extends StoredAnswer>({ id }: Key, answer: Answer): Answer {
    const { fence, outcome } = answer;
    if (!STORED.has(outcome)) return answer;
    const known = fence > 0 ? fence : Number.POSITIVE_INFINITY;
    this.rooms.held.keyChanged(id);
    this.rooms.near.changed(id, known);
    this.rooms.keyLoops.changed(id, known);
    return answer;
  }

  #answerOf(
    stored: StoredAnswer | { readonly maybeStored: boolean },
    key: Key,
    { tags }: Result,
  ): PublishAnswer | Promise<PublishAnswer> {
    if ('maybeStored' in stored) return { outcome: 'not_stored', fence: 0, ...stored };
    const { outcome, fence, clock } = stored;
    if (!STORED.has(outcome)) return { outcome, fence };
    const heard = this.#heardToCount(key.namespace, clock, tags);
    if (heard !== undefined) return { outcome, fence, counts: heard };
    return this.#counts(key.namespace, clock, tags).then((counts) => ({ outcome, fence, counts }));
  }

  /** False if the namespace or one of the tags was invalidated after this tag clock; undefined if that is unknown. */
  #heardToCount(namespace: string, clock: string, tags: readonly string[]): boolean | undefined {
    const copy = { sentAt: this.rooms.changes.count, fence: 0, clock, tags };
    return this.parts.wakes.live ? this.rooms.changes.stands(namespace, copy) : undefined;
  }

  /** The same as the store knows. */
  async #counts(namespace: string, clock: string, tags: readonly string[]): Promise<boolean | undefined> {
    const now = await this.parts.namespaces.read(namespace, tags).catch(undefinedIfUnavailable);
    return now && outlasts(clock, now.clock, now.stamps);
  }

  /** Gives the waiters here what was stored, unless its tags were invalidated during the rebuild. */
  #feedStored(
    key: Key,
    record: KeyRecord,
    sent: Sent,
    answer: PublishAnswer,
    { sinceUnknown = false }: Stored,
  ): Promise<number> {
    if (answer.outcome === 'duplicate' || !STORED.has(answer.outcome)) return SERVED_NONE;
    // An earlier call of the same holder may have stored it, at a time that is unknown here. The callers read it
    // instead.
    if (sinceUnknown) return SERVED_NONE;
    return answer.counts === true && answer.fence > 0
      ? this.rooms.keyLoops.feed(key, record, sent)
      : SERVED_NONE;
  }

  /**
   * Gives the waiters here a value that the store has not confirmed, if this replica granted the lease, its time runs,
   * and nothing that its holder read may have changed since. A client must not keep it: no wake would tell it to drop
   * it.
   */
  #feedUnstored(
    { id, key, namespace }: Key,
    result: Result,
    { lease, feeds }: Given,
    sent: Sent,
    degraded: Degraded,
  ): Promise<number> {
    const isUntouched =
      lease !== undefined &&
      feeds &&
      this.rooms.changes.untouchedSince(namespace, result.tags, lease.givenAt);
    if (!isUntouched) return SERVED_NONE;
    // Anything may have changed since the wake channel was lost: only callers from before that get it.
    const sentAt = Math.min(sent.sentAt, this.rooms.changes.heardUntil(lease.givenAt));
    return this.rooms.keyLoops.feed(
      { id, key, namespace },
      justStored(result, 0, ''),
      { ...sent, sentAt },
      degraded,
    );
  }

  /**
   * Sends the publish once more if its reply can no longer come. If the first one was stored, the answer is then
   * DUPLICATE. While a reply may still come, nothing is sent again.
   */
  async #store(key: Key, step: StorePublish): Promise<Stored> {
    const { store } = this.parts;
    let sentAtMs: number | undefined;
    const sent = () => {
      sentAtMs = this.parts.clock.nowMs();
    };
    const { nonce, fence, payload, ttlMs, staleMs, tags, keepMs } = step;
    // Field by field: one object shape for all, and no copy of another object.
    const first = store.publish(key.id, { nonce, fence, payload, ttlMs, staleMs, tags, keepMs, sent });
    try {
      const { onLate } = this.parts.policyOf(key.namespace);
      const turn = { sentAtMs: () => sentAtMs, lateness: this.rooms.lateness };
      const answer = await (onLate === 'wait' ? first : inPatience(this.parts, key.namespace, first, turn));
      return this.#heard(key, answer);
    } catch (error) {
      rethrowUnlessUnavailable(error);
      if (error.how === 'late' && this.parts.policyOf(key.namespace).onLate === 'degrade') throw error;
      const again = await store.publish(key.id, step).catch((second) => {
        // The first may have been taken, even if the second was not.
        throw error.untaken ? second : error;
      });
      this.#heard(key, again);
      return again.outcome === 'duplicate' ? { ...again, outcome: 'stored', sinceUnknown: true } : again;
    }
  }

  #publishUnstored(request: Publish, given: Given): Published {
    const { key } = request;
    const { token, lease } = given;
    const answer: PublishAnswer = { outcome: 'not_stored', fence: 0, maybeStored: false };
    const degraded = token.kind === 'local' ? 'local' : 'store_lost';
    const feeding = this.#feedUnstored(key, this.#resultOf(request), given, this.#now(), degraded);
    tell(answer, [lease?.span], feeding);
    void this.rooms.lifecycle
      .endUnstored(key, token, 'published')
      .then(() => this.rooms.keyLoops.wake(key.id));
    return { answer, notStored: { cause: 'lease', why: '', valueBytes: bytesOf(request) } };
  }

  #now(): Sent {
    return { readAtMs: this.parts.clock.nowMs(), sentAt: this.rooms.changes.count };
  }

  /** What a publish stores, with what the policy adds. Drawn once, so the waiters get exactly what is stored. */
  #resultOf({ key, payload, ttlMs, staleMs, tags }: Publish): Result {
    const { limits, chance } = this.parts;
    const policy = this.parts.policyOf(key.namespace);
    return {
      payload,
      // Only ever shortened: nothing is fresh for longer than its publish said.
      ttlMs: Math.max(1, Math.round(ttlMs * (1 - policy.ttlJitter * chance.fraction()))),
      staleMs: staleMs ?? policy.staleMs,
      tags,
      keepMs: limits.leaseMsMax,
    };
  }
}

const STORED: ReadonlySet<PublishOutcome> = new Set(['stored', 'stored_late', 'duplicate']);

/** The store's answer. If only a repetition was answered, it is unknown when the value was stored. */
type Stored = StoredAnswer & { readonly sinceUnknown?: boolean };

/** What is known about a lease when its value comes. */
interface Given {
  readonly token: Token;
  /** Absent unless this replica gave it. */
  readonly lease: HeldLease | undefined;
  /** {@link HeldLeases.feeds} when the publish came. */
  readonly feeds: boolean;
}

/** The caller's answer, and what only the observer needs. */
interface Published {
  readonly answer: PublishAnswer;
  readonly notStored: NotStored | undefined;
}

type Result = Omit<StorePublish, 'nonce' | 'fence'>;

function bytesOf({ payload }: Pick<Result, 'payload'>): number {
  return payload.kind === 'value' ? payload.bytes.length : 0;
}

function notStoredBy({ message, untaken }: StoreUnavailable, result: Result): NotStored {
  return { cause: untaken ? 'store' : 'reply', why: message, valueBytes: bytesOf(result) };
}

/** Records how many callers were served here, in the lease's span and in the publish's. */
function tell(
  { outcome, fence }: PublishAnswer,
  spans: readonly (Span | undefined)[],
  ...feeding: readonly (Promise<number> | undefined)[]
): void {
  // Most calls are in no trace, and need no further turn.
  if (!isTraced(spans)) return;
  void Promise.all(feeding).then((served) => {
    const servedHere = served.reduce<number>((sum, callers = 0) => sum + callers, 0);
    for (const span of spans) span?.end({ outcome, fence, servedHere });
  });
}

function isTraced(spans: readonly (Span | undefined)[]): boolean {
  return spans.some((span) => span !== undefined);
}
