import { BytesClient } from './bytes-client.js';
import type {
  CallOptions,
  Calls,
  Extend,
  GetOrLock,
  GetOrLockMany,
  Invalidate,
  Keyed,
  KeyedOutcome,
  Publish,
  Release,
} from './calls.js';
import { SYSTEM_CLOCK } from './clock.js';
import { BYTES, type Codec, encodedBy } from './codec.js';
import { DibsError, UndecodableError } from './errors.js';
import type { FetchCall } from './fetcher.js';
import { tell } from './hooks.js';
import { checked, checkText, TIMER_MS_MAX, wholeMs } from './numbers.js';
import type { CodecOption, DibsClientOptions, RebuildContext, RebuildOptions } from './options.js';
import { asBuffer } from './outcomes.js';
import { pause } from './pause.js';
import type { HowStored } from './rebuild.js';
import { asRebuildOf, reentrant } from './reentry.js';

/** A first connection to a service that starts now, and a process that is asked to end. */
const READY_MS = 10_000;
const READY_PAUSE_MS = 50;
const FLUSH_MS = 5_000;

/** What code that caches needs of Dibs; `@dibs/client/testing` has a double of it for unit tests. */
export type Dibs = Pick<DibsClient, 'getOrRebuild' | 'invalidate' | 'close'>;

type Rebuild<T> = (context: RebuildContext<T>) => Promise<T | null | undefined> | T | null | undefined;

/** One getOrRebuild, with the client's defaults. */
interface Asked<T> {
  readonly namespace: string;
  readonly key: string;
  readonly rebuild: Rebuild<T>;
  readonly codec: Codec<T>;
  readonly options: RebuildOptions;
}

/**
 * A client of Dibs. One for each process is enough: it holds one channel, over which any number of calls
 * go at once.
 */
export class DibsClient {
  // Private by `#`, not by type only: what prints a client must not print its token.
  readonly #options: Pick<DibsClientOptions, 'namespace' | 'hooks' | 'onUnavailable'>;
  readonly #client: BytesClient;
  readonly #calls: Calls;

  /** Throws a {@link DibsError} for options that cannot work. */
  constructor(options: DibsClientOptions = {}) {
    const { namespace = '', hooks, onUnavailable } = options;
    this.#options = { namespace, ...(hooks && { hooks }), ...(onUnavailable && { onUnavailable }) };
    this.#client = new BytesClient(options);
    this.#calls = this.#client.calls;
  }

  /**
   * The value of a key: from the cache, from another caller's rebuild, or from `rebuild`, which at most one
   * caller in the fleet runs at a time. null means that the source has nothing.
   *
   * Rejects with what `rebuild` threw; with {@link RebuildFailedError} where another caller's rebuild failed
   * and its back-off runs; with {@link DibsBusyError} where the wait ended first; with {@link DibsError} for
   * bad input, and with `onUnavailable: 'fail'` where the service cannot be reached; with
   * {@link ReentrantRebuildError} where the calling code itself rebuilds the key; with {@link UndecodableError}
   * where the codec can read no value of it; and with the reason of `signal` where that is aborted.
   */
  getOrRebuild<T>(
    key: string,
    rebuild: Rebuild<T>,
    options: RebuildOptions & CodecOption<T>,
  ): Promise<T | null>;
  getOrRebuild(
    key: string,
    rebuild: (
      context: RebuildContext,
    ) => Promise<Uint8Array | null | undefined> | Uint8Array | null | undefined,
    options: RebuildOptions,
  ): Promise<Buffer | null>;
  getOrRebuild<T>(
    key: string,
    rebuild: Rebuild<T>,
    options: RebuildOptions & Partial<CodecOption<T>>,
  ): Promise<T | null> {
    const codec = options.codec ?? (BYTES as unknown as Codec<T>);
    const namespace = options.namespace ?? this.#options.namespace ?? '';
    // Not in an async function: a hit in this process's memory is shorter than what that costs.
    const near = this.#client.near(namespace, key, options);
    if (near === undefined) return this.#fetch({ namespace, key, rebuild, codec, options });
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    const { onHit } = this.#options.hooks ?? {};
    if (onHit !== undefined) tell(onHit, { namespace, key, freshness: 'fresh' });
    try {
      return Promise.resolve(decoded(codec, near, true));
    } catch (error) {
      return this.#refetch({ namespace, key, rebuild, codec, options }, error);
    }
  }

  async #fetch<T>(asked: Asked<T>): Promise<T | null> {
    const { key, codec, options } = asked;
    const taken = await this.#client.fetch(this.#callOf(asked));
    try {
      return decoded(codec, taken.bytes, taken.isShared);
    } catch (error) {
      if (taken.isOwn || options.refresh === true) throw new UndecodableError(key, error);
      return this.#refetch(asked, error);
    }
  }

  /** A value that the codec cannot read is a miss: after a deploy that changes a type, callers go on. One try. */
  async #refetch<T>(asked: Asked<T>, error: unknown): Promise<T | null> {
    const { namespace, key, codec } = asked;
    tell(this.#options.hooks?.onUndecodable, { namespace, key, error });
    const call = this.#callOf(asked);
    const taken = await this.#client.refetch(call);
    try {
      return decoded(codec, taken.bytes, taken.isShared);
    } catch (still) {
      throw new UndecodableError(key, still);
    }
  }

  /** Throws what the caller is to blame for, before anything is sent. */
  #callOf<T>({ namespace, key, rebuild, codec, options }: Asked<T>): FetchCall {
    checkText('key', key);
    const given = checked(options);
    const again = reentrant(this, namespace, key);
    if (again !== undefined) throw again;
    return {
      ...{ namespace, key, options: given },
      onUnavailable: given.onUnavailable ?? this.#options.onUnavailable ?? 'rebuild',
      rebuild: async ({ previous, ...context }) => {
        const how: HowStored = { store: true };
        const said: RebuildContext<T> = {
          ...{ ...context, previous: readable(codec, previous) },
          storeWith: (given) => void Object.assign(how, given),
          doNotStore: () => {
            how.store = false;
          },
        };
        const value = await asRebuildOf(this, namespace, key, () => rebuild(said));
        // A lookup that finds nothing often gives undefined.
        return { bytes: value === null || value === undefined ? null : encodedBy(codec, value), how };
      },
    };
  }

  /** One GetOrLock, for code that does the steps itself. Rejects with a {@link DibsError}. */
  getOrLock(request: GetOrLock, options?: CallOptions) {
    return this.#calls.getOrLock(request, options);
  }

  /**
   * One GetOrLock for each of up to 1000 keys: what is known at once first, then each wait as it ends. A lease
   * that comes after the loop was left is given back. Iterating rejects with a {@link DibsError}.
   */
  getOrLockMany(request: GetOrLockMany, options?: CallOptions): AsyncIterable<KeyedOutcome> {
    return this.#calls.getOrLockMany(request, options);
  }

  /** Who holds the key, since when, until when, who waits, and how the last leases ended. */
  explain(request: Keyed, options?: CallOptions) {
    return this.#calls.explain(request, options);
  }

  /** Stores the result of a lease. Safe to repeat. Rejects with a {@link DibsError}. */
  publish(request: Publish, options?: CallOptions) {
    return this.#calls.publish(request, options);
  }

  /** Gives a lease back, with the failure if there was one. Safe to repeat. Rejects with a {@link DibsError}. */
  release(request: Release, options?: CallOptions) {
    return this.#calls.release(request, options);
  }

  /** Lets a lease last longer. Safe to repeat. Rejects with a {@link DibsError}. */
  extend(request: Extend, options?: CallOptions) {
    return this.#calls.extend(request, options);
  }

  /**
   * Drops values, or marks them stale, and voids the rebuilds of them that run. Commit to the source first,
   * then invalidate. Any number of keys; none is no call. Safe to repeat. Rejects with a {@link DibsError}.
   */
  invalidate(request: Invalidate, options?: CallOptions) {
    return this.#client.invalidate(request, options);
  }

  /** Resolves when a first connection stands; rejects with `UNAVAILABLE` if none does within `timeoutMs`. */
  async ready({ timeoutMs = READY_MS }: { readonly timeoutMs?: number } = {}): Promise<void> {
    const untilMs = performance.now() + wholeMs('timeoutMs', timeoutMs, 0, TIMER_MS_MAX);
    for (;;) {
      const leftMs = Math.max(1, Math.ceil(untilMs - performance.now()));
      try {
        return await within(leftMs, this.#client.transport.ready?.(leftMs) ?? Promise.resolve());
      } catch (error) {
        if (performance.now() + READY_PAUSE_MS >= untilMs) throw error;
        await pause(SYSTEM_CLOCK, READY_PAUSE_MS);
      }
    }
  }

  /**
   * Waits for the work in the background, rebuilds behind stale values and publishes that are repeated, for
   * `timeoutMs` at most. Returns whether all of it has ended. For the end of a process, before {@link close}.
   */
  flush({ timeoutMs = FLUSH_MS }: { readonly timeoutMs?: number } = {}): Promise<boolean> {
    return this.#client.background.ended(wholeMs('timeoutMs', timeoutMs, 0, TIMER_MS_MAX));
  }

  /** Makes no more calls and lets go of the connection. Calls that were made already still end. */
  close(): void {
    this.#client.transport.close();
  }
}

function decoded<T>(codec: Codec<T>, bytes: Uint8Array | null, isShared: boolean): T | null {
  if (bytes === null) return null;
  // What one caller does with its bytes is not seen by another.
  return codec.decode(isShared && codec.isDetached !== true ? Buffer.from(bytes) : asBuffer(bytes));
}

/** A value that was published in another format is as good as none: the rebuild replaces it. */
function readable<T>(codec: Codec<T>, previous: Buffer | null | undefined): T | null | undefined {
  if (previous === undefined || previous === null) return previous;
  try {
    return codec.decode(previous);
  } catch {
    return undefined;
  }
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DibsError('UNAVAILABLE', `no connection within ${ms} ms`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
