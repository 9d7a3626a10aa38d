import { expect } from 'vitest';
import { Coordinator } from '../../src/coordination/coordinator.js';
import type { LeaseQuorum } from '../../src/coordination/ports/lease-quorum.js';
import { NO_OBSERVER, type Observer } from '../../src/coordination/ports/observer.js';
import { Call } from '../../src/coordination/words/call.js';
import { type Key, keyOf } from '../../src/coordination/words/key.js';
import type { Busy, Failed, GetOrLockAnswer, Hit, Lease } from '../../src/coordination/words/outcome.js';
import { defaultPolicy, type Limits, type Policy } from '../../src/coordination/words/policy.js';
import type { GetOrLock, Publish } from '../../src/coordination/words/requests.js';
import type { Token } from '../../src/coordination/words/token.js';
import { decodeToken, encodeToken } from '../../src/grpc/token.js';
import { MemoryLeaseQuorum } from '../../src/memory/lease-quorum.js';
import { MemoryNamespaceStore } from '../../src/memory/namespace-store.js';
import { MemoryValueStore } from '../../src/memory/value-store.js';
import { SystemChance } from '../../src/system-chance.js';
import { ChaosLeaseQuorum } from './chaos-lease-quorum.js';
import { ChaosNamespaceStore } from './chaos-namespace-store.js';
import { ChaosValueStore } from './chaos-value-store.js';
import { ChaosWakeChannel } from './chaos-wake-channel.js';
import { ManualClock } from './manual-clock.js';
import { textValue } from './store-trial.js';

/** Encodes a token and decodes it again, as if this identity had sent it. */
export function receivedToken(identity: string, key: Key, token: Token): Token | undefined {
  return decodeToken(identity, key, encodeToken(key, token));
}

export const LIMITS: Limits = {
  leaseMs: 10_000,
  leaseMsMin: 100,
  leaseMsMax: 60_000,
  waitMsMax: 30_000,
  valueBytesMax: 1_048_576,
  waitersPerKeyMax: 5,
  waitersMax: 8,
  storeTimeoutMs: 300,
  silenceMs: 2_000,
};

/** The state of one GetOrLock call. */
export interface Asked {
  readonly call: Call;
  readonly promise: Promise<GetOrLockAnswer>;
  answer: GetOrLockAnswer | undefined;
  error: unknown;
}

/** A replica on in-memory stores that can be told to misbehave, with a clock that moves only when a test says so. */
export class CoordinationTrial {
  readonly clock = new ManualClock();
  readonly wakes = new ChaosWakeChannel();
  readonly store = new ChaosValueStore(new MemoryValueStore({ clock: this.clock, wakes: this.wakes }));
  readonly #chance = new SystemChance();
  readonly namespaces = new ChaosNamespaceStore(
    new MemoryNamespaceStore({ clock: this.clock, chance: this.#chance, wakes: this.wakes }),
    this.store,
  );
  /** Off by default, so that a test sees the store's answers. */
  nearCacheBytes = 0;
  overloaded = false;
  /** The limits of replicas that are created from now on. */
  limits: Limits = LIMITS;
  readonly quorum = new ChaosLeaseQuorum(new MemoryLeaseQuorum({ clock: this.clock }));
  readonly key = keyOf('trial', 'a key');
  policy: Policy = defaultPolicy(LIMITS);
  readonly observed: (readonly [keyof Observer, ...unknown[]])[] = [];
  readonly #observer = Object.fromEntries(
    (Object.keys(NO_OBSERVER) as (keyof Observer)[]).map((what) => [
      what,
      (...told: unknown[]) => this.observed.push([what, ...told]),
    ]),
  ) as unknown as Observer;
  readonly #replicas: Coordinator[] = [];
  readonly coordinator = this.replica();

  /** Creates another replica of the same fleet, with its own lock nodes if `quorum` is given. */
  replica(quorum: LeaseQuorum = this.quorum): Coordinator {
    const replica = new Coordinator({
      store: this.store,
      namespaces: this.namespaces,
      nearCacheBytes: this.nearCacheBytes,
      overloaded: () => this.overloaded,
      quorum,
      wakes: this.wakes,
      clock: this.clock,
      chance: this.#chance,
      limits: this.limits,
      policyOf: () => this.policy,
      observer: this.#observer,
    });
    this.#replicas.push(replica);
    return replica;
  }

  /** The arguments of each call of one observer method. */
  told(what: keyof Observer): unknown[][] {
    return this.observed.filter(([name]) => name === what).map(([, ...told]) => told);
  }

  /** Runs everything that needs no time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  async pass(ms: number, stepMs = 10): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
      this.clock.advance(Math.min(stepMs, ms - passedMs));
      await this.settle();
    }
  }

  /** Sends a GetOrLock and runs nothing yet. */
  send(request: Partial<GetOrLock> = {}, call = new Call(), replica = this.coordinator): Asked {
    const { key } = this;
    const asked: Asked = {
      call,
      promise: replica.getOrLock(
        { key, intent: 'rebuild', requestId: '', holder: 'a holder', ...request },
        call,
      ),
      answer: undefined,
      error: undefined,
    };
    asked.promise.then(
      (answer) => {
        asked.answer = answer;
      },
      (error) => {
        asked.error = error;
      },
    );
    return asked;
  }

  /** Sends a GetOrLock and runs everything that needs no time. */
  async ask(request: Partial<GetOrLock> = {}, call = new Call(), replica = this.coordinator): Promise<Asked> {
    const asked = this.send(request, call, replica);
    await this.settle();
    return asked;
  }

  async lease(request: Partial<GetOrLock> = {}, replica = this.coordinator): Promise<Lease> {
    return leaseOf(await this.ask(request, new Call(), replica));
  }

  async publish(
    token: Token | undefined,
    text = 'a value',
    { key = this.key, ...request }: Partial<Omit<Publish, 'token'>> = {},
    replica = this.coordinator,
  ) {
    const answer = await replica.publish(
      {
        key,
        token,
        payload: textValue(text),
        ttlMs: 60_000,
        tags: [],
        ...request,
      },
      new Call(),
    );
    await this.settle();
    return answer;
  }

  async release(token: Token | undefined, failure?: { message: string; retryAfterMs?: number }) {
    const { key } = this;
    const said = failure === undefined ? {} : { failure };
    const outcome = await this.coordinator.release({ key, token, ...said }, new Call());
    await this.settle();
    return outcome;
  }

  extend(token: Token | undefined, leaseMs?: number, replica = this.coordinator) {
    const length = leaseMs === undefined ? {} : { leaseMs };
    const { key } = this;
    return replica.extend({ key, token, ...length }, new Call());
  }

  async invalidate(mode: 'delete' | 'mark_stale' = 'delete', keys: readonly Key[] = [this.key]) {
    const request = { namespace: this.key.namespace, keys, tags: [], all: false, mode };
    const answer = await this.coordinator.invalidate(request, new Call());
    await this.settle();
    return answer;
  }

  /** Checks that no waiter is left, and no timer except one for the end of each running lease. */
  async expectRest(): Promise<void> {
    await this.settle();
    let leases = 0;
    for (const replica of this.#replicas) {
      expect(replica.waiters).toBe(0);
      leases += replica.leasesHeld;
    }
    expect(this.clock.timers).toBeLessThanOrEqual(leases);
  }
}

/** Returns the outcome. Fails unless it is of the expected kind. */
function outcomeOf<K extends GetOrLockAnswer['outcome']['kind']>(asked: Asked, kind: K) {
  if (asked.error !== undefined) throw asked.error;
  expect(asked.answer?.outcome).toMatchObject({ kind });
  return asked.answer?.outcome as Extract<GetOrLockAnswer['outcome'], { kind: K }>;
}

export const hitOf = (asked: Asked): Hit => outcomeOf(asked, 'hit');
export const leaseOf = (asked: Asked): Lease => outcomeOf(asked, 'lease');
export const busyOf = (asked: Asked): Busy => outcomeOf(asked, 'busy');
export const failedOf = (asked: Asked): Failed => outcomeOf(asked, 'failed');

/** The text of a hit's value. */
export function textIn({ payload }: Hit): string {
  return payload.kind === 'absent' ? 'absent' : new TextDecoder().decode(payload.bytes);
}

/** Whether a call has neither an answer nor an error yet. */
export function isWaiting(asked: Asked): boolean {
  return asked.answer === undefined && asked.error === undefined;
}
