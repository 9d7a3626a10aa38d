import type { Dibs } from './client.js';
import { TTL_MS_MAX, wholeMs } from './numbers.js';

/** A time in milliseconds, or a function of the value that gives one. */
type TimeOf<T> = number | ((value: T) => number);

export interface WrapOptions<T> {
  /** How long the value is served, in milliseconds: 1 to 31536000000. */
  readonly ttl?: TimeOf<T>;
  /** For this long before its end, in milliseconds, the value is still served, and is rebuilt in the background. */
  readonly refreshThreshold?: TimeOf<T>;
}

/** The parameters of cache-manager's `wrap`, without `raw`. */
export interface Wrap {
  <T>(
    key: string,
    fnc: () => Promise<T> | T,
    ttl?: TimeOf<T>,
    refreshThreshold?: TimeOf<T>,
  ): Promise<T | null>;
  <T>(key: string, fnc: () => Promise<T> | T, options: WrapOptions<T>): Promise<T | null>;
}

export interface WrapDefaults {
  /** The TTL of calls without one, in milliseconds. Without it, such a call is an error. */
  readonly ttl?: number;
  readonly refreshThreshold?: number;
  /** Default: the client's namespace. */
  readonly namespace?: string;
}

/**
 * A function with the shape of cache-manager's `wrap(key, fnc, ttl, refreshThreshold)`, for code that is written for
 * it: one caller in the fleet runs `fnc`. Values are stored as JSON. `null` is stored. `undefined` is not, and callers
 * get `null` for it.
 *
 * It rejects like `getOrRebuild`, and with a `DibsError` that names `ttl` or `refreshThreshold` if that is outside its
 * bounds, or if there is no `ttl`.
 */
export function wrapOf(dibs: Pick<Dibs, 'getOrRebuild'>, defaults: WrapDefaults = {}): Wrap {
  return async <T>(
    key: string,
    fnc: () => Promise<T> | T,
    given?: TimeOf<T> | WrapOptions<T>,
    threshold?: TimeOf<T>,
  ): Promise<T | null> => {
    const said = typeof given === 'object' ? given : { ttl: given, refreshThreshold: threshold };
    const { ttl = defaults.ttl, refreshThreshold = defaults.refreshThreshold } = said;
    // Before the source is called, as far as the times are known by then.
    const times = timesOf(
      typeof ttl === 'function' ? TTL_MS_MAX : ttl,
      typeof refreshThreshold === 'function' ? 0 : refreshThreshold,
    );
    const { namespace } = defaults;
    return dibs.getOrRebuild<T>(
      key,
      async ({ storeWith, doNotStore }) => {
        const value = await fnc();
        if (value === undefined) doNotStore();
        else storeWith(timesOf(by(ttl, value), by(refreshThreshold, value)));
        return value;
      },
      { ...times, ...(namespace !== undefined && { namespace }) },
    );
  };
}

function by<T>(time: TimeOf<T> | undefined, value: T): number | undefined {
  return typeof time === 'function' ? time(value) : time;
}

/** The value is fresh until the threshold, and stale from there until the end of its time. */
function timesOf(ttl: number | undefined, threshold: number | undefined) {
  // Without one, the error names the bounds.
  const inAllMs = wholeMs('ttl', ttl as number, 1, TTL_MS_MAX);
  if (threshold === undefined) return { ttlMs: inAllMs };
  const staleMs = Math.min(wholeMs('refreshThreshold', threshold, 0, TTL_MS_MAX), inAllMs - 1);
  return { ttlMs: inAllMs - staleMs, staleMs };
}
