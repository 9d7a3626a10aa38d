import { setTimeout as sleep } from 'node:timers/promises';
import { Degraded } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { type Caller, textOf } from './caller.js';

/** The source behind the cache. It counts its own calls, so no test relies on the service's metrics. */
export class Origin {
  readonly #calls = new Map<string, number>();
  /** When each of its calls began, on `performance.now()`. */
  readonly startedAtMs: number[] = [];

  constructor(readonly rebuildMs: number) {}

  /** Returns a different text for each call, so that two rebuilds never look like one. */
  async rebuild(key: string): Promise<string> {
    const call = this.callsOf(key) + 1;
    this.#calls.set(key, call);
    this.startedAtMs.push(performance.now());
    await sleep(this.rebuildMs);
    return `${key}, rebuild ${call}`;
  }

  callsOf(key: string): number {
    return this.#calls.get(key) ?? 0;
  }

  get calls(): number {
    return this.startedAtMs.length;
  }
}

export interface Answered {
  readonly key: string;
  readonly text: string;
  /** From the first call until the value. */
  readonly tookMs: number;
  /** How many times it was told to retry. */
  readonly busy: number;
  /** Whether no answer was degraded. */
  readonly whole: boolean;
}

/** A caller of the service, by unary calls or on a session. */
export type Asker = Pick<Caller, 'getOrLock' | 'publishText'>;

/** The longest lease, because this lease is not extended. A busy machine must not end it before its rebuild. */
const LEASE_MS = 60_000;

/** What every user of the service writes: GetOrLock, and a rebuild if it gets the lease. */
export async function getOrRebuild(caller: Asker, key: string, origin: Origin): Promise<Answered> {
  const startedAtMs = performance.now();
  let busy = 0;
  let whole = true;
  for (;;) {
    const answer = await caller.getOrLock({ key, waitMs: 20_000, leaseMs: LEASE_MS });
    whole &&= answer.degraded === Degraded.DEGRADED_NONE;
    const { outcome } = answer;
    if (outcome?.$case === 'busy') {
      busy += 1;
      await sleep(outcome.value.retryAfterMs);
      continue;
    }
    let text = textOf(answer);
    if (outcome?.$case === 'lease') {
      text = await origin.rebuild(key);
      await caller.publishText(key, outcome.value.token, text);
    }
    return { key, text, tookMs: performance.now() - startedAtMs, busy, whole };
  }
}

/** `count` callers at once, spread over the replicas and the keys. */
export function stampede(
  callers: readonly Asker[],
  keys: readonly string[],
  count: number,
  origin: Origin,
): Promise<Answered[]> {
  return Promise.all(
    Array.from({ length: count }, (_, index) => {
      const caller = callers[index % callers.length];
      // Another stride than the callers', so that each key is requested on each replica.
      const key = keys[Math.floor(index / callers.length) % keys.length];
      if (caller === undefined || key === undefined) throw new Error('a stampede needs callers and keys');
      return getOrRebuild(caller, key, origin);
    }),
  );
}

/** Gives each key a value that has expired when this resolves. */
export async function expire(caller: Caller, keys: readonly string[], staleMs = 0): Promise<void> {
  await Promise.all(
    keys.map(async (key) => {
      const { token } = await caller.lease({ key });
      const payload = { $case: 'value', value: Buffer.from('expired') } as const;
      await caller.publish({ key, token, payload, ttlMs: 1, staleMs });
    }),
  );
  await sleep(5);
}
