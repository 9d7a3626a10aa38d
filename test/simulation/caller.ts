import { POLL_MS_MAX } from '../../src/coordination/waiting/backoff.js';
import { Call } from '../../src/coordination/words/call.js';
import { CoordinationError } from '../../src/coordination/words/errors.js';
import type { Key } from '../../src/coordination/words/key.js';
import type { Degraded, GetOrLockAnswer, Hit, Lease } from '../../src/coordination/words/outcome.js';
import type { GetOrLock } from '../../src/coordination/words/requests.js';
import type { Token } from '../../src/coordination/words/token.js';
import { isWithoutStore } from './old-values.js';
import type { SimReplica } from './sim-replica.js';
import { STORE_CALL_MS_MAX } from './sim-store.js';
import { NoAnswer, type World } from './world.js';

/** How long an answer without a wait may take. */
const ANSWER_MS_MAX = 1_000;

/** The time of two store calls, one after the other, that both time out. */
const AFTERMATH_MS = 700;
/**
 * A replica that granted the running lease itself waits for it after a read that timed out, and reads again at its next
 * poll. The rest is for the steps of a read.
 */
const HOLDER_AFTERMATH_MS = STORE_CALL_MS_MAX + POLL_MS_MAX + 50;
/** A value that is fresh for less may expire while it is read, and need not be a hit. */
const FRESH_MS_MIN = 10;
/** The clocks' drift over the longest pause. */
const DRIFT_MS = 100;

/** A lease in a client's hands. */
export interface InHand {
  readonly key: Key;
  readonly token: Token;
  readonly nonce: string;
  readonly expiresInMs: number;
}

/** A client's request, and how long it stays. */
export interface Asking {
  readonly request: Partial<GetOrLock>;
  readonly deadlineMs?: number | undefined;
  /** When the client cancels; undefined if it does not. */
  readonly cancelAfterMs?: number | undefined;
}

/** A call that reached a replica. */
interface Asked {
  readonly request: GetOrLock;
  readonly call: Call;
  readonly replica: SimReplica;
  /** When the client sent it, and when the replica received it, in the order of all events. */
  readonly startedAt: number;
  readonly cameAt: number;
}

/** A client's calls. It tells the judge everything that can be seen from outside. */
export class Caller {
  constructor(
    private readonly world: World,
    readonly name: string,
  ) {}

  get replica(): SimReplica {
    const { chance, replicas } = this.world;
    const serving = replicas.filter((replica) => replica.serving && !replica.dead);
    return chance.pick(serving.length > 0 ? serving : replicas);
  }

  /** Calls getOrLock. Returns the answer, or the error. */
  async getOrLock(key: Key, asking: Asking, replica = this.replica): Promise<GetOrLockAnswer | Error> {
    const { world } = this;
    const { time, judge } = world;
    const { intent = 'rebuild', requestId = '', waitMs, leaseMs, stale, read } = asking.request;
    // One object shape for all requests.
    const request: GetOrLock = { key, intent, waitMs, leaseMs, stale, read, requestId, holder: this.name };
    const call = new Call(this.name, asking.deadlineMs);
    const startedAt = judge.now();
    const { namespace } = key;
    world.say(
      () => `${this.name} asks ${replica.name} for ${namespace}/${key.key} ${JSON.stringify(asking)}`,
      key.id,
    );
    if (asking.cancelAfterMs !== undefined) {
      time.at(time.nowMs + asking.cancelAfterMs, () => replica.run(() => call.cancel()));
    }
    const result = await world.call(replica, call, async () => {
      const arrivedMs = replica.clock.nowMs();
      const arrivedAtStoreMs = world.store.nowMs;
      const pausedMs = replica.pausedMs;
      const cameAt = judge.now();
      try {
        const answer = await replica.coordinator.getOrLock(request, call);
        this.#judgeAnswer({ request, call, replica, startedAt, cameAt }, answer);
        this.#judgeBusy(request, answer, arrivedAtStoreMs, replica);
        return answer;
      } catch (error) {
        this.#judgeError(error as Error, call, request, replica);
        throw error;
      } finally {
        // The pause in true time, the rest on the replica's clock, which is at most 1 % off.
        const stoodMs = (replica.pausedMs - pausedMs) * 0.99;
        const tookMs = replica.clock.nowMs() - arrivedMs - stoodMs;
        this.#judgeTime(tookMs, request, asking, replica);
      }
    });
    if (!result.ok) return result.error;
    const { kind } = result.value.outcome;
    world.say(() => `${this.name} has ${kind} from ${replica.name}`, kind);
    return result.value;
  }

  inHand(key: Key, { token, expiresInMs }: Lease): InHand {
    return { key, token, expiresInMs, nonce: token.nonce };
  }

  async publish(
    hand: InHand,
    ttlMs: number,
    staleMs: number,
    replica = this.replica,
    tags = tagsOf(hand.nonce),
  ): Promise<string> {
    const { world } = this;
    world.judge.givenUp(hand.nonce);
    const bytes = Buffer.from(`${hand.key.id} ${hand.nonce}`);
    const { key, token } = hand;
    const publish = { key, token, payload: { kind: 'value', bytes } as const, ttlMs, staleMs, tags };
    const call = new Call(this.name);
    world.judge.oldValues.tagged(hand.nonce, tags);
    const result = await world.call(replica, call, () => replica.coordinator.publish(publish, call));
    // A publish is never an error. A value that cannot be stored is an outcome.
    if (!result.ok && !(result.error instanceof NoAnswer)) {
      world.judge.violated('INV-9', `a publish ended with ${result.error.message}`);
    }
    return result.ok ? result.value.outcome : 'no answer';
  }

  async release(
    hand: InHand,
    failure: { message: string; retryAfterMs?: number } | undefined,
    replica = this.replica,
  ): Promise<void> {
    const { world } = this;
    world.judge.givenUp(hand.nonce);
    const call = new Call(this.name);
    const { key, token } = hand;
    // The nonce shows which lease a failure belongs to.
    const told = failure && { failure: { ...failure, message: `${failure.message} ${hand.nonce}` } };
    const release = { key, token, ...told };
    await world.call(replica, call, () => replica.coordinator.release(release, call));
  }

  async extend(hand: InHand, replica = this.replica): Promise<'extended' | 'lost' | 'unknown'> {
    const { world } = this;
    const { key, nonce, token } = hand;
    const call = new Call(this.name);
    const sentAt = world.judge.now();
    const result = await world.call(replica, call, async () => {
      const answer = await replica.coordinator.extend({ key, token }, call);
      const atStore = (world.extendedAt.get(nonce) ?? 0) > sentAt;
      if (answer.outcome === 'extended') world.judge.leaseExtended(nonce, answer.expiresInMs, atStore);
      else world.judge.givenUp(nonce);
      return answer;
    });
    return result.ok ? result.value.outcome : 'unknown';
  }

  async invalidate(
    keys: readonly Key[],
    mode: 'delete' | 'mark_stale',
    replica = this.replica,
  ): Promise<void> {
    const { world } = this;
    const [{ namespace } = { namespace: '' }] = keys;
    const call = new Call(this.name);
    const sentAt = world.judge.now();
    const request = { namespace, keys, tags: [], all: false, mode };
    const result = await world.call(replica, call, () => replica.coordinator.invalidate(request, call));
    if (result.ok) for (const key of keys) world.judge.invalidationReturned(key.id, sentAt);
  }

  /** Invalidates some tags, or the whole namespace. */
  async invalidateTags(
    namespace: string,
    tags: readonly string[],
    mode: 'delete' | 'mark_stale',
    replica = this.replica,
  ): Promise<void> {
    const { world } = this;
    const call = new Call(this.name);
    const request = { namespace, keys: [], tags, all: tags.length === 0, mode };
    const result = await world.call(replica, call, () => replica.coordinator.invalidate(request, call));
    if (result.ok) world.judge.stampingReturned(namespace, request);
  }

  #judgeAnswer(asked: Asked, { outcome, degraded }: GetOrLockAnswer): void {
    const { judge } = this.world;
    const { request, call, replica, cameAt } = asked;
    const { key } = request;
    if (outcome.kind === 'lease') {
      // Only a lease proves this. A hit may be degraded because its value was made while the store was lost.
      if (isWithoutStore(degraded)) judge.oldValues.storeLost(replica);
      const { nonce } = this.inHand(key, outcome);
      judge.leaseAnswered(key.id, nonce, outcome, degraded);
      if (this.world.fleet.onlyLate && isWithoutStore(degraded))
        judge.violated('INV-19', `${key.id}: a lease (${degraded}) that the store has not armed`);
      // The transport gives back an answer that it could not send.
      if (call.cancelled) {
        judge.givenUp(nonce);
        void replica.coordinator.giveBack(key, outcome);
      }
      if (request.intent === 'read') judge.violated('INV-9', 'a reader got a lease');
      if (outcome.previous !== undefined) this.#judgeHit(asked, outcome.previous, degraded);
    }
    if (outcome.kind === 'hit') {
      this.#judgeHit(asked, outcome, degraded);
      if (!outcome.fresh && request.stale === 'forbid')
        judge.violated('INV-7', 'a stale value where it is forbidden');
    }
    if (outcome.kind === 'failed') {
      const nonce = outcome.message.split(' ').at(-1) ?? '';
      judge.failureShown(replica, { id: key.id, nonce, fresh: true, cameAt });
    }
  }

  /** INV-7: a caller that arrived after a publish gets the value. It is not sent away. */
  #judgeBusy(
    { key, intent }: GetOrLock,
    { outcome }: GetOrLockAnswer,
    arrivedMs: number,
    { coordinator }: SimReplica,
  ): void {
    const { store, judge, sinceStoreTroubleMs } = this.world;
    if (outcome.kind !== 'busy' || outcome.reason === 'draining' || intent === 'refresh') return;
    // Trouble on the way to the store may hide a value from one replica.
    if (sinceStoreTroubleMs < AFTERMATH_MS) return;
    const record = store.record(key.id);
    const value = record?.value;
    if (value === undefined || value.publishedAtMs >= arrivedMs || judge.mayNotCount(key.id, record?.done))
      return;
    const freshMs = value.freshUntilMs - store.nowMs;
    if (freshMs <= FRESH_MS_MIN) return;
    const granted = coordinator.shown(Number.POSITIVE_INFINITY).held.leases;
    const isHolder = granted.some((it) => it.namespace === key.namespace && it.key === key.key);
    if (isHolder && sinceStoreTroubleMs < HOLDER_AFTERMATH_MS) return;
    judge.violated('INV-7', `busy (${outcome.reason}) beside a value fresh for ${freshMs} ms`);
  }

  #judgeHit({ request, startedAt, replica, cameAt }: Asked, hit: Hit, degraded: Degraded): void {
    if (hit.payload.kind !== 'value') return;
    const [valueId = '', nonce = ''] = Buffer.from(hit.payload.bytes).toString().split(' ');
    const { judge } = this.world;
    const { id } = request.key;
    judge.hitAnswered(id, hit, valueId, nonce, request.read === 'store', startedAt);
    judge.shown(replica, { id, nonce, fresh: hit.fresh, cameAt }, hit, degraded);
  }

  #judgeError(error: Error, call: Call, { key }: GetOrLock, { coordinator }: SimReplica): void {
    const { world } = this;
    if (call.cancelled) return;
    const kind = error instanceof CoordinationError ? error.kind : undefined;
    if (kind === 'unavailable' && world.policyOf(key.namespace).onLoss === 'fail') return;
    if (kind === 'exhausted') {
      if (coordinator.waiters < world.fleet.limits.waitersPerKeyMax) {
        world.judge.violated('INV-13', `refused with ${coordinator.waiters} waiters`);
      }
      return;
    }
    world.judge.violated('INV-9', `${key.id}: a call ended with ${error.stack ?? error.message}`);
  }

  #judgeTime(tookMs: number, { waitMs }: GetOrLock, { deadlineMs }: Asking, replica: SimReplica): void {
    const { judge, fleet } = this.world;
    const waitMsMax = Math.min(waitMs ?? fleet.limits.waitMsMax, deadlineMs ?? Number.POSITIVE_INFINITY);
    if (tookMs > waitMsMax + (waitMs === 0 ? ANSWER_MS_MAX : 1) + DRIFT_MS) {
      judge.violated('INV-9', `an answer of ${replica.name} after ${tookMs} ms of a wait of ${waitMsMax}`);
    }
    const { waiters } = replica.coordinator;
    if (waiters > fleet.limits.waitersMax) judge.violated('INV-13', `${waiters} waiters on ${replica.name}`);
  }
}

/** Depends only on the nonce, because a repeated publish carries the same tags. */
export function tagsOf(nonce: string): string[] {
  const kind = nonce.charCodeAt(nonce.length - 1) % 4;
  return [[], ['x'], ['y'], ['x', 'y']][kind] ?? [];
}
