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
import { type Codec, decoded, encodedBy, json, readable, readsBy } from './codec.js';
import { UndecodableError } from './errors.js';
import type { FetchCall } from './fetcher.js';
import { tell } from './hooks.js';
import { checked, checkedToStore, checkText, TIMER_MS_MAX, wholeMs } from './numbers.js';
import type {
  CodecOption,
  DibsClientOptions,
  GetOptions,
  NoCodec,
  RebuildContext,
  RebuildOptions,
  SetOptions,
} from './options.js';
import type { Published, PublishOutcome } from './outcomes.js';
import { readyWithin } from './ready.js';
import type { HowStored } from './rebuild.js';
import { asRebuildOf, reentrant } from './reentry.js';
import { getMany, type RebuildMany } from './typed-many.js';

/** For the first connection to a service that is starting, and for the end of a process. */
const READY_MS = 10_000;
const FLUSH_MS = 5_000;

/** The part of the client that caching code needs. `@dibs/client/testing` has a double of it for unit tests. */
export type Dibs = Pick<
  DibsClient,
  'getOrRebuild' | 'getOrRebuildMany' | 'get' | 'set' | 'invalidate' | 'close'
>;

type Rebuild<Given, T> = (
  context: RebuildContext<T>,
) => Promise<Given | null | undefined> | Given | null | undefined;

/** The result of a `set`. */
export interface Stored extends Published {
  /** True: the value is stored. False: an invalidation or a newer value came in between, and `outcome` says which. */
  readonly stored: boolean;
}

const STORED: ReadonlySet<PublishOutcome> = new Set(['stored', 'stored_late', 'duplicate']);

/** One getOrRebuild, with the client's defaults applied. */
interface Asked<T, Given> {
  readonly namespace: string;
  readonly key: string;
  readonly rebuild: Rebuild<Given, T>;
  readonly codec: Codec<T, Given>;
  readonly options: RebuildOptions;
}

/** A client of Dibs. One per process is enough: it has one channel, over which any number of calls run at once. */
export class DibsClient {
  // Private by `#` and not only by type, so that printing a client does not print its token.
  readonly #options: Pick<DibsClientOptions, 'namespace' | 'onUnavailable'>;
  readonly #client: BytesClient;
  readonly #calls: Calls;

  /** Throws a {@link DibsError} for options that cannot work. */
  constructor(options: DibsClientOptions = {}) {
    const { namespace = '', onUnavailable } = options;
    this.#options = { namespace, onUnavailable };
    this.#client = new BytesClient(options);
    this.#calls = this.#client.calls;
  }

  /**
   * The value of a key: from the cache, from another caller's rebuild, or from `rebuild`, which at most one caller in
   * the fleet runs at a time. null means that the source has nothing.
   *
   * Rejects with the error that `rebuild` threw; with {@link RebuildFailedError} if another caller's rebuild failed and
   * its back-off is running; with {@link DibsBusyError} if the wait ended first; with {@link DibsError} for bad input,
   * and with `onUnavailable: 'fail'` if the service cannot be reached; with {@link ReentrantRebuildError} if the
   * calling code itself rebuilds the key; with {@link UndecodableError} if the codec can read no value of it; and with
   * the reason of `signal` if that is aborted.
   */
  getOrRebuild<T, Given>(
    key: string,
    rebuild: Rebuild<Given, T>,
    options: RebuildOptions & CodecOption<T, Given>,
  ): Promise<T | null>;
  // The context does not determine T. Otherwise T could not be inferred from a rebuild that takes a context.
  getOrRebuild<T>(
    key: string,
    rebuild: Rebuild<T, unknown>,
    options: RebuildOptions & NoCodec,
  ): Promise<T | null>;
  getOrRebuild<T, Given>(
    key: string,
    rebuild: Rebuild<Given, T>,
    options: RebuildOptions & Partial<CodecOption<T, Given>>,
  ): Promise<T | null> {
    const { codec = asJson<T, Given>() } = options;
    const namespace = options.namespace ?? this.#options.namespace ?? '';
    // Not an async function, because a hit in this process's memory is faster than its overhead.
    const near = this.#client.near(namespace, key, options);
    if (near === undefined) return this.#fetch({ namespace, key, rebuild, codec, options });
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    const { onHit } = this.#client.hooks;
    if (onHit !== undefined) tell(onHit, { namespace, key, freshness: 'fresh', source: 'near' });
    try {
      return Promise.resolve(decoded(codec, near, true));
    } catch (error) {
      return this.#refetch({ namespace, key, rebuild, codec, options }, error);
    }
  }

  /**
   * The cached value, without a rebuild: null if the source is known to have nothing; undefined if nothing is cached,
   * if the wait ended, or if the codec cannot read the value. A stale value counts; `onHit` says which it is.
   *
   * Rejects with {@link DibsError} for bad input or if the service cannot be reached, and with the reason of `signal`
   * if that is aborted.
   */
  get<T>(key: string, options: GetOptions & CodecOption<T, never>): Promise<T | null | undefined>;
  get<T = unknown>(key: string, options?: GetOptions & NoCodec): Promise<T | null | undefined>;
  async get<T>(
    key: string,
    options: GetOptions & Partial<CodecOption<T, never>> = {},
  ): Promise<T | null | undefined> {
    checkText('key', key);
    const given = checked(options);
    const { namespace = this.#options.namespace ?? '', signal } = given;
    const { codec = json<T>() } = options;
    const { hooks } = this.#client;
    signal?.throwIfAborted();
    const near = this.#client.near(namespace, key, given);
    if (near !== undefined) tell(hooks.onHit, { namespace, key, freshness: 'fresh', source: 'near' });
    const found =
      near === undefined ? await this.#client.find({ namespace, key, options: given }) : undefined;
    const bytes = near === undefined ? found?.bytes : near;
    if (bytes === undefined) return undefined;
    try {
      return decoded(codec, bytes, near !== undefined);
    } catch (error) {
      this.#client.undecodable({ namespace, key, error });
      return undefined;
    }
  }

  /**
   * Stores a value; null or undefined means that the source has nothing. Waits for a running rebuild first. Write to
   * the source before you call it. Calls that begin after it has returned get nothing older.
   *
   * Rejects with {@link DibsBusyError} if the wait ended first, with {@link RebuildFailedError} if the rebuild that it
   * waited for failed, with {@link ReentrantRebuildError} within a rebuild of the same key, and with {@link DibsError}
   * for bad input or if the service cannot be reached. In that case the value may or may not be stored.
   */
  async set<Given>(
    key: string,
    value: Given | null | undefined,
    options: SetOptions & Partial<CodecOption<unknown, Given>>,
  ): Promise<Stored> {
    checkText('key', key);
    const given = checkedToStore(options);
    const { namespace = this.#options.namespace ?? '' } = given;
    const again = reentrant(this, namespace, key);
    if (again !== undefined) throw again;
    const { codec = json<unknown>() } = options;
    // A copy, because the caller may change its bytes during the wait.
    const bytes = value === null || value === undefined ? null : Buffer.from(encodedBy(codec, value));
    const published = await this.#client.set({ namespace, key, bytes, options: given });
    return { ...published, stored: STORED.has(published.outcome) };
  }

  /**
   * {@link getOrRebuild} for any number of keys. `rebuild` is called once for all missing keys, and again for those
   * whose leases come later. It returns a Map or an object of values by key. A key that it leaves out counts as one
   * that the source does not have. Resolves to every key once, in the given order.
   *
   * Rejects with {@link DibsManyError} if some keys failed; it carries the values of the other keys. Rejects
   * with {@link DibsError} for bad input; with {@link ReentrantRebuildError} if the calling code rebuilds one of the
   * keys; and with the reason of `signal` if that is aborted.
   */
  getOrRebuildMany<T, Given>(
    keys: Iterable<string>,
    rebuild: RebuildMany<Given, T>,
    options: RebuildOptions & CodecOption<T, Given>,
  ): Promise<Map<string, T | null>>;
  getOrRebuildMany<T>(
    keys: Iterable<string>,
    rebuild: RebuildMany<T, unknown>,
    options: RebuildOptions & NoCodec,
  ): Promise<Map<string, T | null>>;
  getOrRebuildMany<T, Given>(
    keys: Iterable<string>,
    rebuild: RebuildMany<Given, T>,
    options: RebuildOptions & Partial<CodecOption<T, Given>>,
  ): Promise<Map<string, T | null>> {
    const { namespace = '', onUnavailable } = this.#options;
    const { codec = asJson<T, Given>() } = options;
    return getMany(this, this.#client, {
      ...{ keys, rebuild, codec, options, namespace: options.namespace ?? namespace },
      onUnavailable: options.onUnavailable ?? onUnavailable ?? 'rebuild',
    });
  }

  async #fetch<T, Given>(asked: Asked<T, Given>): Promise<T | null> {
    const { key, codec, options } = asked;
    const taken = await this.#client.fetch(this.#callOf(asked));
    try {
      return decoded(codec, taken.bytes, taken.isShared);
    } catch (error) {
      if (taken.isOwn || options.refresh === true) throw new UndecodableError(key, error);
      return this.#refetch(asked, error, taken.untilMs);
    }
  }

  /** A value that the codec cannot read is a miss, so callers continue after a deploy that changes a type. One try. */
  async #refetch<T, Given>(asked: Asked<T, Given>, error: unknown, untilMs?: number): Promise<T | null> {
    const { namespace, key, codec } = asked;
    this.#client.undecodable({ namespace, key, error });
    const call = this.#callOf(asked);
    const taken = await this.#client.refetch(call, readsBy(codec), untilMs);
    try {
      return decoded(codec, taken.bytes, taken.isShared);
    } catch (still) {
      throw new UndecodableError(key, still);
    }
  }

  /** Throws for faults of the caller, before anything is sent. */
  #callOf<T, Given>({ namespace, key, rebuild, codec, options }: Asked<T, Given>): FetchCall {
    checkText('key', key);
    const given = checkedToStore(options);
    const again = reentrant(this, namespace, key);
    if (again !== undefined) throw again;
    return {
      namespace,
      key,
      options: given,
      onUnavailable: given.onUnavailable ?? this.#options.onUnavailable ?? 'rebuild',
      rebuild: async (context) => {
        const how: HowStored = { store: true };
        const said: RebuildContext<T> = {
          get signal() {
            return context.signal;
          },
          fence: context.fence,
          reason: context.reason,
          previous: readable(codec, context.previous),
          storeWith: (given) => void Object.assign(how, given),
          doNotStore: () => {
            how.store = false;
          },
        };
        const value = await asRebuildOf(this, namespace, [key], () => rebuild(said));
        // A lookup that finds nothing often returns undefined.
        return { bytes: value === null || value === undefined ? null : encodedBy(codec, value), how };
      },
    };
  }

  /** One GetOrLock, for code that performs the steps itself. Rejects with a {@link DibsError}. */
  getOrLock(request: GetOrLock, options?: CallOptions) {
    return this.#calls.getOrLock(request, options);
  }

  /**
   * One GetOrLock for each of up to 1000 keys: immediate outcomes first, then each wait as it ends. A lease that comes
   * after the loop was left is released. Iterating rejects with a {@link DibsError}.
   */
  getOrLockMany(request: GetOrLockMany, options?: CallOptions): AsyncIterable<KeyedOutcome> {
    return this.#calls.getOrLockMany(request, options);
  }

  /**
   * Who holds the key, since when and until when, who waits, and how the last leases ended. Rejects with a {@link
   * DibsError}.
   */
  explain(key: string | Keyed, options?: CallOptions) {
    return this.#calls.explain(key, options);
  }

  /** Stores the result of a lease. Safe to repeat. Rejects with a {@link DibsError}. */
  publish(request: Publish, options?: CallOptions) {
    return this.#calls.publish(request, options);
  }

  /**
   * Ends a lease without a value, with the failure if there was one. Safe to repeat. Rejects with a {@link DibsError}.
   */
  release(request: Release, options?: CallOptions) {
    return this.#calls.release(request, options);
  }

  /** Extends a lease. Safe to repeat. Rejects with a {@link DibsError}. */
  extend(request: Extend, options?: CallOptions) {
    return this.#calls.extend(request, options);
  }

  /**
   * Drops values or marks them stale, and voids their running rebuilds. Commit to the source first, then invalidate.
   * Accepts any number of keys; an empty list makes no call. Safe to repeat. Rejects with a {@link DibsError}.
   */
  invalidate(request: Invalidate, options?: CallOptions) {
    return this.#client.invalidate(request, options);
  }

  /** Resolves when there is a first connection. Rejects with `UNAVAILABLE` if there is none within `timeoutMs`. */
  async ready({ timeoutMs = READY_MS }: { readonly timeoutMs?: number } = {}): Promise<void> {
    return readyWithin(this.#client.transport, wholeMs('timeoutMs', timeoutMs, 0, TIMER_MS_MAX));
  }

  /**
   * Waits up to `timeoutMs` for background work: rebuilds behind stale values and repeated publishes. Resolves to
   * whether all of it has ended. Call it before {@link close} when a process ends.
   */
  flush({ timeoutMs = FLUSH_MS }: { readonly timeoutMs?: number } = {}): Promise<boolean> {
    return this.#client.background.ended(wholeMs('timeoutMs', timeoutMs, 0, TIMER_MS_MAX));
  }

  /** Accepts no more calls and drops the connection. Calls that were already made still end. */
  close(): void {
    this.#client.transport.close();
  }

  /** {@link flush}, then {@link close}: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush();
    this.close();
  }
}

/** Without a codec, the value's type is the same in both directions. */
function asJson<T, Given>(): Codec<T, Given> {
  return json<unknown>() as Codec<T, Given>;
}
