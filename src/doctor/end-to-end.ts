import type { StoreAddress } from '../config/store-url.js';
import { Coordinator, type CoordinatorParts } from '../coordination/coordinator.js';
import type { Chance, Clock } from '../coordination/ports/clock.js';
import { NO_OBSERVER } from '../coordination/ports/observer.js';
import type { Wake, WakeChannel } from '../coordination/ports/wake-channel.js';
import { Call } from '../coordination/words/call.js';
import { type Key, keyOf } from '../coordination/words/key.js';
import type { Lease } from '../coordination/words/outcome.js';
import { defaultPolicy, type Limits } from '../coordination/words/policy.js';
import { MemoryLeaseQuorum } from '../memory/lease-quorum.js';
import type { StoreConnection } from '../redis/connection.js';
import { remove } from '../redis/examination.js';
import { keysOf } from '../redis/keys.js';
import { RedisNamespaceStore } from '../redis/namespace-store.js';
import { troubleOf } from '../redis/trouble.js';
import { RedisValueStore } from '../redis/value-store.js';
import { RedisWakeChannel } from '../redis/wake-channel.js';
import type { Findings } from './finding.js';
import { holdsWithin, within } from './within.js';

/** Each step takes some round trips. */
const STEP_MS_MAX = 5_000;
/** The value ends by itself if it cannot be removed. */
const TTL_MS = 10_000;

export interface EndToEnd {
  readonly address: StoreAddress;
  readonly connection: StoreConnection;
  readonly ca: string | undefined;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly chance: Chance;
  /** Unique. The namespace is named after it. */
  readonly id: string;
}

/**
 * One lease, publish, wake and invalidation, through the code that a replica runs, on two of its coordinators that know
 * each other only through the store. The lease needs no vote here: the lock nodes are tried one by one.
 */
export async function tryEndToEnd(of: EndToEnd, findings: Findings): Promise<void> {
  const key = keyOf(`dibs-doctor-${of.id}`, 'trial');
  const replicas = [new Trial(of), new Trial(of)] as const;
  try {
    await subscribed(of, replicas, findings);
    const [one, other] = replicas;
    const lease = await step(of, findings, 'lease', () => leased(one, key));
    if (lease === undefined) return;
    const waiting = other.coordinator.getOrLock({ ...ASK, key, waitMs: STEP_MS_MAX }, new Call());
    // Its outcome is read below, unless the publish fails.
    waiting.catch(() => {});
    if ((await step(of, findings, 'publish', () => published(one, key, lease))) === undefined) return;
    await step(of, findings, 'wake', async () => {
      await other.heard('published', key.id);
      const { outcome } = await waiting;
      if (outcome.kind !== 'hit') throw new Error(`the waiter of another replica got: ${outcome.kind}`);
      return 'another replica was woken, and got the value';
    });
    await step(of, findings, 'invalidation', () => invalidated(replicas, key));
  } finally {
    for (const replica of replicas) replica.close();
    await remove(of.connection, keysOf(key)).catch((error: Error) => {
      findings.warning('cleaning', `keys of the trial stay until they expire: ${error.message}`);
    });
  }
}

const ASK = { intent: 'rebuild', read: 'store', requestId: '', holder: 'dibs doctor' } as const;

/** One replica, without its doors. */
class Trial {
  readonly wakes: RedisWakeChannel;
  readonly coordinator: Coordinator;
  readonly #wakes: Wake[] = [];
  readonly #clock: Clock;
  /** Why there is no subscription. */
  trouble = 'no confirmation of the subscription';

  constructor({ address, connection, ca, limits, clock, chance }: EndToEnd) {
    this.#clock = clock;
    this.wakes = new RedisWakeChannel(address, {
      clock,
      silenceMs: limits.silenceMs,
      ca,
      onError: (error) => {
        this.trouble = troubleOf(error);
      },
    });
    this.wakes.listen({
      wake: (wake) => this.#wakes.push(wake),
      namespaceWake() {},
      resubscribed() {},
      disconnected() {},
    });
    const policy = defaultPolicy(limits);
    const parts: CoordinatorParts = {
      store: new RedisValueStore(connection),
      namespaces: new RedisNamespaceStore(connection, chance),
      quorum: new MemoryLeaseQuorum({ clock }),
      wakes: this.wakes satisfies WakeChannel,
      policyOf: () => policy,
      observer: NO_OBSERVER,
      nearCacheBytes: 0,
      limits,
      clock,
      chance,
    };
    this.coordinator = new Coordinator(parts);
  }

  async heard(kind: Wake['kind'], id: string): Promise<void> {
    const isHeard = () => this.#wakes.some((wake) => wake.kind === kind && wake.id === id);
    if (!(await holdsWithin(this.#clock, STEP_MS_MAX, isHeard))) throw new Error('the wake did not arrive');
  }

  close(): void {
    this.coordinator.close();
    this.wakes.close();
  }
}

async function subscribed(
  { clock }: EndToEnd,
  replicas: readonly Trial[],
  findings: Findings,
): Promise<void> {
  const deaf = () => replicas.find(({ wakes }) => !wakes.live);
  await holdsWithin(clock, STEP_MS_MAX, () => deaf() === undefined);
  const trouble = deaf()?.trouble;
  if (trouble === undefined) findings.ok('subscription', 'wakes are heard');
  else findings.fault('subscription', trouble);
}

/** Undefined if it failed; then a finding says why. A text is the finding's. */
async function step<T>(
  { clock }: EndToEnd,
  findings: Findings,
  check: string,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const sinceMs = clock.nowMs();
  try {
    const result = await within(clock, STEP_MS_MAX, work);
    const text = typeof result === 'string' ? result : 'granted';
    findings.ok(check, `${text}, in ${(clock.nowMs() - sinceMs).toFixed(0)} ms`);
    return result;
  } catch (error) {
    findings.fault(check, error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

async function leased({ coordinator }: Trial, key: Key): Promise<Lease> {
  const answer = await coordinator.getOrLock({ ...ASK, key, waitMs: 0 }, new Call());
  if (answer.degraded !== 'none') throw new Error(`the store took no lease (${answer.degraded})`);
  if (answer.outcome.kind !== 'lease') throw new Error(`got ${answer.outcome.kind} instead of a lease`);
  return answer.outcome;
}

async function published({ coordinator }: Trial, key: Key, { token }: Lease): Promise<string> {
  const payload = { kind: 'value', bytes: Buffer.from('dibs doctor') } as const;
  const publish = { key, token, payload, ttlMs: TTL_MS, tags: [] };
  const { outcome } = await coordinator.publish(publish, new Call());
  if (outcome !== 'stored') throw new Error(`the publish was answered with ${outcome}; is the store full?`);
  return 'the value was stored';
}

async function invalidated([one, other]: readonly [Trial, Trial], key: Key): Promise<string> {
  const request = { namespace: key.namespace, keys: [key], tags: [], all: false, mode: 'delete' } as const;
  const { keysInvalidated } = await other.coordinator.invalidate(request, new Call());
  if (keysInvalidated !== 1) throw new Error('the value was gone before it was invalidated');
  await one.heard('invalidated', key.id);
  const { outcome } = await one.coordinator.getOrLock({ ...ASK, intent: 'read', key, waitMs: 0 }, new Call());
  if (outcome.kind === 'hit') throw new Error('the value was served after it had been invalidated');
  return 'no replica serves the value';
}
