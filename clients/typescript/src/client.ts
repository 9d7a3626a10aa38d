import { countAddresses } from './addresses.js';
import {
  type CallOptions,
  Calls,
  type Extend,
  type GetOrLock,
  type GetOrLockMany,
  type Invalidate,
  type Keyed,
  type KeyedOutcome,
  type Publish,
  type Release,
} from './calls.js';
import { BYTES, type Codec } from './codec.js';
import { fetchLoop } from './fetch-loop.js';
import { Flights } from './flights.js';
import { HeldLeases } from './held-leases.js';
import { tell } from './hooks.js';
import { Link } from './link.js';
import { NearCache } from './near-cache.js';
import {
  type CodecOption,
  connectionOptions,
  type DibsClientOptions,
  defaultHolder,
  type RebuildContext,
  type RebuildOptions,
} from './options.js';
import { asBuffer } from './outcomes.js';
import type { RebuildBytes } from './rebuild.js';
import { SessionOrUnary } from './session-or-unary.js';
import { SessionPool } from './session-pool.js';
import { SessionTransport } from './session-transport.js';
import type { Transport } from './transport.js';
import { UnaryTransport } from './unary-transport.js';

/** What code that caches needs of Dibs; `@dibs/client/testing` has a double of it for unit tests. */
export type Dibs = Pick<DibsClient, 'getOrRebuild' | 'invalidate' | 'close'>;

/**
 * A client of Dibs. One for each process is enough: it holds one channel, over which any number of calls
 * go at once.
 */
export class DibsClient {
  readonly #transport: Transport;
  readonly #calls: Calls;
  readonly #flights = new Flights<Uint8Array | null>();
  readonly #local = new Flights<Uint8Array | null>();
  readonly #held = new HeldLeases();
  readonly #near: NearCache | undefined;

  constructor(private readonly options: DibsClientOptions = {}) {
    const { namespace = '', holder = defaultHolder(), nearCache } = options;
    this.#near = nearCache && new NearCache(nearCache, namespace);
    this.#transport =
      options.transport ?? transportOf(options, { holder, held: this.#held, near: this.#near });
    this.#calls = new Calls(this.#transport, { namespace, holder });
  }

  /**
   * The value of a key: from the cache, from another caller's rebuild, or from `rebuild`, which at most one
   * caller in the fleet runs at a time. null means that the source has nothing.
   *
   * Rejects with what `rebuild` threw; with {@link RebuildFailedError} where another caller's rebuild failed
   * and its back-off runs; with {@link DibsBusyError} where the wait ended first; with {@link DibsError} for
   * bad input, and with `onUnavailable: 'fail'` where the service cannot be reached; and with the reason of
   * `signal` where that is aborted.
   */
  getOrRebuild(
    key: string,
    rebuild: (context: RebuildContext) => Promise<Uint8Array | null> | Uint8Array | null,
    options: RebuildOptions,
  ): Promise<Buffer | null>;
  getOrRebuild<T>(
    key: string,
    rebuild: (context: RebuildContext<T>) => Promise<T | null> | T | null,
    options: RebuildOptions & CodecOption<T>,
  ): Promise<T | null>;
  getOrRebuild<T>(
    key: string,
    rebuild: (context: RebuildContext<T>) => Promise<T | null> | T | null,
    options: RebuildOptions & Partial<CodecOption<T>>,
  ): Promise<T | null> {
    const codec = options.codec ?? (BYTES as unknown as Codec<T>);
    const namespace = options.namespace ?? this.options.namespace ?? '';
    // Not in an async function: a hit in this process's memory is shorter than what that costs.
    const near = mayJoin(options) ? this.#near?.get(namespace, key) : undefined;
    return near === undefined
      ? this.#askOrRebuild(namespace, key, rebuild, codec, options)
      : this.#nearHit(namespace, key, near, codec, options.signal);
  }

  #nearHit<T>(
    namespace: string,
    key: string,
    near: Buffer | null,
    codec: Codec<T>,
    signal: AbortSignal | undefined,
  ): Promise<T | null> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { onHit } = this.options.hooks ?? {};
    if (onHit !== undefined) tell(onHit, { namespace, key, freshness: 'fresh' });
    try {
      return Promise.resolve(near === null ? null : codec.decode(near));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #askOrRebuild<T>(
    namespace: string,
    key: string,
    rebuild: (context: RebuildContext<T>) => Promise<T | null> | T | null,
    codec: Codec<T>,
    { signal, ...options }: RebuildOptions & Partial<CodecOption<T>>,
  ): Promise<T | null> {
    const rebuildBytes: RebuildBytes = async ({ previous, ...context }) => {
      const value = await rebuild({ ...context, previous: readable(codec, previous) });
      return value === null ? null : codec.encode(value);
    };
    const fly = (all: AbortSignal) =>
      fetchLoop({
        calls: this.#calls,
        hooks: this.options.hooks ?? {},
        namespace,
        key,
        rebuild: rebuildBytes,
        options,
        onUnavailable: options.onUnavailable ?? this.options.onUnavailable ?? 'rebuild',
        local: this.#local,
        held: this.#held,
        signal: all,
      });
    const flights = mayJoin(options) ? this.#flights : new Flights<Uint8Array | null>();
    const bytes = await flights.join(flightOf(namespace, key, options), fly, signal);
    return bytes === null ? null : codec.decode(asBuffer(bytes));
  }

  /** One GetOrLock, for those who do the steps themselves. Rejects with a {@link DibsError}. */
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
   * then invalidate. Safe to repeat. Rejects with a {@link DibsError}.
   */
  async invalidate(request: Invalidate, options?: CallOptions) {
    const { namespace = this.options.namespace ?? '', keys = [], tags = [], all = false } = request;
    try {
      return await this.#calls.invalidate(request, options);
    } finally {
      // Not only when the service says so: whoever has invalidated reads anew. Also where that may have failed.
      this.#near?.heard({ namespace: namespace || 'default', keys: [...keys], tags: [...tags], all });
    }
  }

  /** Makes no more calls and lets go of the connection. Calls that were made already still end. */
  close(): void {
    this.#transport.close();
  }
}

function transportOf(
  options: DibsClientOptions,
  { holder, held, near }: { holder: string; held: HeldLeases; near: NearCache | undefined },
): Transport {
  const connection = connectionOptions(options, process.env);
  const link = new Link(connection);
  const unary = new UnaryTransport(link);
  if (options.session === false) return unary;
  const { connectMs, target } = connection;
  const leaseLost = ({ token }: { token: string }) => held.lost(token);
  const pool = new SessionPool({
    create: (events) => new SessionTransport(link, { connectMs, holder, leaseLost, near, events }),
    countAddresses: () => countAddresses(target),
  });
  return new SessionOrUnary(pool, unary);
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

/** Whoever reads the store or refreshes wants what is newer than the call, and not what an earlier one has read. */
function mayJoin({ read, refresh }: RebuildOptions): boolean {
  return read !== 'store' && refresh !== true;
}

/** Calls with the same of these get the same answer, so that one of them asks for all. */
function flightOf(namespace: string, key: string, options: RebuildOptions): string {
  const { stale = '', revalidate = '', waitMs = '', onUnavailable = '' } = options;
  return [namespace, key, stale, revalidate, waitMs, onUnavailable].join('\0');
}
