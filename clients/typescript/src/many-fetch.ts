import { WAY_MS } from './calls.js';
import { hitsOf } from './client-metrics.js';
import type { Reads } from './codec.js';
import type { Fetched, FetchParts } from './fetch-loop.js';
import { type FetchCall, type Fetcher, mayJoin } from './fetcher.js';
import { tell } from './hooks.js';
import { ManyAnswers } from './many-answers.js';
import { ManyRebuilds, type RebuildManyBytes } from './many-rebuilds.js';
import { DEFAULT_WAIT_MS } from './options.js';

/** One call for several distinct keys. */
export interface ManyCall extends Omit<FetchCall, 'key' | 'rebuild'> {
  readonly keys: readonly string[];
  readonly rebuild: RebuildManyBytes;
}

/** The result for each key of a call. */
export interface ManyFetched {
  readonly of: ReadonlyMap<string, Promise<Pick<Fetched, 'bytes' | 'isOwn'>>>;
  /** Rebuilds that key, whose value the codec cannot read. */
  refetch(key: string, reads: Reads): Promise<Fetched>;
}

/** Each key behaves as in its own getOrRebuild. They share only the first request and the rebuild. */
export function fetchMany(parts: FetchParts, fetcher: Fetcher, call: ManyCall): ManyFetched {
  const { namespace, keys, options } = call;
  const { clock, chance, hooks, near } = parts;
  const untilMs = clock.nowMs() + (options.waitMs ?? DEFAULT_WAIT_MS);
  const rebuilds = new ManyRebuilds(call.rebuild, clock);
  const { stale, read, refresh, leaseMs, signal, traceparent, waitMs } = options;
  const answers = new ManyAnswers({
    ...{ calls: parts.calls, clock, requestId: chance.requestId(), signal, traceparent },
    asked: { namespace, stale, read, leaseMs, intent: refresh === true ? 'refresh' : 'rebuild' },
    waits: waitMs !== 0,
    waiting: () => {
      const leftMs = Math.max(0, Math.floor(untilMs - clock.nowMs()));
      const isSaid = waitMs !== undefined && leftMs <= parts.waitMsMax;
      return { waitMs: isSaid ? leftMs : undefined, deadlineMs: leftMs + WAY_MS };
    },
  });
  const callOf = (key: string): FetchCall => ({
    ...call,
    key,
    rebuild: (facts) => rebuilds.made(key, facts),
  });
  const of = new Map<string, Promise<Fetched>>();
  for (const key of keys) {
    const bytes = mayJoin(options) ? near?.get(namespace, key) : undefined;
    if (bytes === undefined) {
      of.set(key, fetcher.alone(callOf(key), { first: answers.of(key) }));
      continue;
    }
    tell(hooks.onHit, { namespace, key, freshness: 'fresh', source: 'near' });
    hitsOf('near', 'fresh', namespace).value += 1;
    of.set(key, Promise.resolve({ bytes, isOwn: false, freshness: 'fresh' }));
  }
  void answers.ask(() => rebuilds.answered());
  return { of, refetch: (key, reads) => fetcher.refetch(callOf(key), reads, untilMs) };
}
