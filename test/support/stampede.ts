import { setTimeout as sleep } from 'node:timers/promises';
import { Degraded } from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { type Caller, textOf } from './caller.js';

/** What stands behind the cache. It counts its own calls: nothing is taken from the service's metrics. */
export class Origin {
  readonly #calls = new Map<string, number>();
  /** When each of its calls began, on `performance.now()`. */
  readonly startedAtMs: number[] = [];

  constructor(readonly rebuildMs: number) {}

  /** Different with each call, so that two rebuilds can never look like one. */
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
  /** From the first call to the value. */
  readonly tookMs: number;
  /** How often it was told to come back. */
  readonly busy: number;
  /** Whether every answer was made with quorum and store. */
  readonly whole: boolean;
}

/** The callers of the service: by unary calls, or on a session. */
export type Asker = Pick<Caller, 'getOrLock' | 'publishText'>;

/** Nobody extends it: as long as the longest, so that a busy machine does not end it before its rebuild. */
const LEASE_MS = 60_000;

/** What every user of the service writes: ask, and rebuild if asked to. */
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
      // Not the same stride as the callers', so that each key is asked for on each replica.
      const key = keys[Math.floor(index / callers.length) % keys.length];
      if (caller === undefined || key === undefined) throw new Error('a stampede needs callers and keys');
      return getOrRebuild(caller, key, origin);
    }),
  );
}

/** Gives each key a value that has expired by the time that this resolves. */
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
