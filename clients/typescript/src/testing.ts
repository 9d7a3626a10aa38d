import { Callers } from './callers.js';
import { checkInvalidate, type Invalidate } from './calls.js';
import { idOf } from './changes.js';
import type { Dibs, DibsClient, Stored } from './client.js';
import { type Codec, decoded, encodedBy, json, readable } from './codec.js';
import { UndecodableError } from './errors.js';
import type { Fetched } from './fetch-loop.js';
import type { LightSignal } from './light-signal.js';
import type { ManyCall, ManyFetched } from './many-fetch.js';
import { ManyRebuilds } from './many-rebuilds.js';
import { MemoryFailures } from './memory-failures.js';
import { checked, checkedToStore, checkText, type Storing } from './numbers.js';
import {
  type CodecOption,
  DEFAULT_WAIT_MS,
  type GetOptions,
  type RebuildContext,
  type RebuildOptions,
  type SetOptions,
} from './options.js';
import type { HowStored, RebuildBytes } from './rebuild.js';
import { asRebuildOf, reentrant } from './reentry.js';
import { getMany, type RebuildMany } from './typed-many.js';

interface Entry {
  readonly bytes: Buffer | null;
  readonly freshUntilMs: number;
  readonly servableUntilMs: number;
  readonly tags: readonly string[];
  readonly fence: number;
}

/** A rebuild under way, and what was invalidated meanwhile. */
interface Lease {
  readonly id: string;
  readonly fence: number;
  readonly changes: Change[];
  isVoided: boolean;
}

/** An invalidation by tags, or of everything. */
interface Change {
  readonly tags: readonly string[];
  readonly all: boolean;
  readonly isMark: boolean;
  readonly atMs: number;
}

interface Running {
  readonly callers: Callers;
  readonly result: Promise<Buffer | null>;
}

/**
 * A double of {@link DibsClient} for unit tests: the same interface over this process's memory, without other
 * processes. Values go through their codec, so a value that cannot be stored is noticed here too. Each instance begins
 * empty.
 */
export class MemoryDibs implements Dibs {
  readonly #entries = new Map<string, Entry>();
  readonly #running = new Map<string, Running>();
  readonly #failures: MemoryFailures;
  readonly #leases = new Set<Lease>();
  #fence = 0;

  /** `nowMs` is the clock by which values expire, in milliseconds. */
  constructor(private readonly nowMs: () => number = () => performance.now()) {
    this.#failures = new MemoryFailures(nowMs);
  }

  getOrRebuild: DibsClient['getOrRebuild'] = async <T, Given>(
    key: string,
    rebuild: (context: RebuildContext<T>) => Promise<Given | null | undefined> | Given | null | undefined,
    options: RebuildOptions & Partial<CodecOption<T, Given>>,
  ): Promise<T | null> => {
    const given = checkedToStore(options);
    const { codec = json<unknown>() as Codec<T, Given>, namespace = '' } = options;
    const make: RebuildBytes = async ({ previous, ...context }) => {
      const how: HowStored = { store: true };
      const said: RebuildContext<T> = {
        ...{ ...context, previous: readable(codec, previous) },
        storeWith: (terms) => void Object.assign(how, terms),
        doNotStore: () => {
          how.store = false;
        },
      };
      const value = await asRebuildOf(this, namespace, [key], () => rebuild(said));
      return { bytes: value === null || value === undefined ? null : encodedBy(codec, value), how };
    };
    const first = await this.#fetch(key, make, given);
    try {
      return decoded(codec, first.bytes, true);
    } catch (error) {
      if (first.isOwn) throw new UndecodableError(key, error);
    }
    const anew = await this.#fetch(key, make, { ...given, refresh: true }, true);
    return decoded(codec, anew.bytes, true);
  };

  getOrRebuildMany: DibsClient['getOrRebuildMany'] = <T, Given>(
    keys: Iterable<string>,
    rebuild: RebuildMany<Given, T>,
    options: RebuildOptions & Partial<CodecOption<T, Given>>,
  ): Promise<Map<string, T | null>> => {
    const { codec = json<unknown>() as Codec<T, Given>, namespace = '' } = options;
    const fetchMany = (call: ManyCall): ManyFetched => {
      const rebuilds = new ManyRebuilds(call.rebuild);
      const make =
        (key: string): RebuildBytes =>
        (facts) =>
          rebuilds.made(key, facts);
      const of = new Map(call.keys.map((key) => [key, this.#fetch(key, make(key), call.options)]));
      rebuilds.answered();
      const refetch = (key: string) => this.#fetch(key, make(key), { ...call.options, refresh: true }, true);
      return { of, refetch };
    };
    const asked = { keys, rebuild, codec, options, namespace, onUnavailable: 'rebuild' as const };
    return getMany(this, { fetchMany, undecodable: () => {} }, asked);
  };

  get: DibsClient['get'] = async <T>(
    key: string,
    options: GetOptions & Partial<CodecOption<T, never>> = {},
  ): Promise<T | null | undefined> => {
    checkText('key', key);
    const { namespace, stale, signal, waitMs = 0 } = checked(options);
    signal?.throwIfAborted();
    const id = idOf(namespace, key);
    const served = () => {
      const known = this.#entries.get(id);
      const untilMs = stale === 'forbid' ? known?.freshUntilMs : known?.servableUntilMs;
      return this.nowMs() < (untilMs ?? Number.NEGATIVE_INFINITY) ? known : undefined;
    };
    const running = this.#running.get(id);
    if (served() === undefined && running !== undefined && waitMs > 0) {
      // A wait that ends, and a failure, find nothing.
      const ended = running.result.catch(() => {});
      const untilMs = performance.now() + waitMs;
      await running.callers.wait(ended, { signal, untilMs }).catch(() => signal?.throwIfAborted());
    }
    const known = served();
    if (known === undefined) return undefined;
    return readable(options.codec ?? json<T>(), known.bytes && Buffer.from(known.bytes));
  };

  set: DibsClient['set'] = async <Given>(
    key: string,
    value: Given | null | undefined,
    options: SetOptions & Partial<CodecOption<unknown, Given>>,
  ): Promise<Stored> => {
    checkText('key', key);
    const { namespace = '', signal, waitMs = DEFAULT_WAIT_MS, ...terms } = checkedToStore(options);
    const again = reentrant(this, namespace, key);
    if (again !== undefined) throw again;
    const { codec = json<unknown>() } = options;
    const bytes = value === null || value === undefined ? null : Buffer.from(encodedBy(codec, value));
    signal?.throwIfAborted();
    const id = idOf(namespace, key);
    if (this.#running.has(id)) await this.#afterRunning(id, signal, performance.now() + waitMs);
    this.#fence += 1;
    this.#failures.end((failed) => failed === id);
    this.#entries.set(id, this.#entry(this.#fence, bytes, terms, {}));
    return { outcome: 'stored', stored: true, fence: this.#fence, counts: true, maybeStored: false };
  };

  /** `isAnew`: a refresh of a value that cannot be read, for which the result of a running rebuild is good enough. */
  async #fetch(key: string, rebuild: RebuildBytes, asked: RebuildOptions, isAnew = false): Promise<Fetched> {
    const { signal, waitMs = DEFAULT_WAIT_MS, namespace = '' } = asked;
    checkText('key', key);
    signal?.throwIfAborted();
    const id = idOf(namespace, key);
    const untilMs = performance.now() + waitMs;
    const again = reentrant(this, namespace, key);
    if (asked.refresh === true) {
      if (again !== undefined) throw again;
      if (!isAnew) await this.#afterRunning(id, signal, untilMs);
    }
    const known = this.#entries.get(id);
    const nowMs = this.nowMs();
    const isFresh = known !== undefined && nowMs < known.freshUntilMs;
    const isServable = known !== undefined && nowMs < known.servableUntilMs;
    if (isFresh && asked.refresh !== true) return { bytes: known.bytes, isOwn: false, freshness: 'fresh' };
    if (again !== undefined) throw again;
    const previous = isServable && asked.stale !== 'forbid' ? known : undefined;
    const failure = asked.refresh === true ? undefined : this.#failures.of(id);
    if (failure !== undefined) {
      if (previous === undefined) throw failure;
      return { bytes: previous.bytes, isOwn: false, freshness: 'stale' };
    }
    const reason = asked.refresh === true ? 'refresh' : known === undefined ? 'miss' : 'expired';
    const make = async (all: LightSignal) => {
      const lease = this.#lease(id);
      try {
        const facts = { signal: all.real, fence: lease.fence, reason, previous: previous?.bytes };
        const { bytes, how } = await rebuild(facts);
        const kept = bytes && Buffer.from(bytes);
        if (how.store) this.#publish(lease, this.#entry(lease.fence, kept, asked, checked(how)));
        return kept;
      } catch (error) {
        // If the callers have left, or the key was invalidated, that is not a failure.
        if (!lease.isVoided && !all.aborted) this.#failures.note(id, error);
        throw error;
      } finally {
        this.#leases.delete(lease);
      }
    };
    const rebuilding = this.#rebuilding(id, make, signal, untilMs);
    if (previous !== undefined && asked.refresh !== true && asked.revalidate !== 'await') {
      rebuilding.catch(() => {});
      return { bytes: previous.bytes, isOwn: false, freshness: 'stale' };
    }
    if (previous === undefined || asked.staleIfError !== true) {
      return { bytes: await rebuilding, isOwn: true, freshness: 'fresh' };
    }
    const own = rebuilding.then((bytes) => ({ bytes, isOwn: true, freshness: 'fresh' as const }));
    return own.catch(() => ({ bytes: previous.bytes, isOwn: false, freshness: 'stale' as const }));
  }

  /** Waits for the running rebuilds of a key. Throws the failure of one, as the service gives it to other callers. */
  async #afterRunning(id: string, signal: AbortSignal | undefined, untilMs: number): Promise<void> {
    for (let running = this.#running.get(id); running !== undefined; running = this.#running.get(id)) {
      const fails = running.result.then(
        () => false,
        () => true,
      );
      const failure = (await running.callers.wait(fails, { signal, untilMs }))
        ? this.#failures.of(id)
        : undefined;
      if (failure !== undefined) throw failure;
    }
  }

  #rebuilding(
    id: string,
    make: (signal: LightSignal) => Promise<Buffer | null>,
    signal: AbortSignal | undefined,
    untilMs: number,
  ): Promise<Buffer | null> {
    const known = this.#running.get(id);
    if (known !== undefined) return known.callers.wait(known.result, { signal, untilMs });
    const end = () => {
      if (this.#running.get(id) === running) this.#running.delete(id);
    };
    const callers = new Callers(end);
    const running: Running = { callers, result: make(callers.signal) };
    this.#running.set(id, running);
    running.result.then(end, end);
    return callers.wait(running.result, { signal });
  }

  async invalidate({ namespace, keys = [], tags = [], all = false, mode = 'delete' }: Invalidate) {
    checkInvalidate({ keys, tags, mode });
    const named = new Set(keys.map((key) => idOf(namespace, key)));
    const isOfNamespace = (id: string) => id.startsWith(idOf(namespace, ''));
    const change: Change = { tags, all, isMark: mode === 'mark_stale', atMs: this.nowMs() };
    let keysInvalidated = 0;
    let leasesVoided = 0;
    // A caller that comes after this call must not join what began before it.
    for (const id of this.#running.keys()) {
      if (named.has(id) || (isOfNamespace(id) && (all || tags.length > 0))) this.#running.delete(id);
    }
    this.#failures.end((id) => named.has(id) || (all && isOfNamespace(id)));
    for (const lease of this.#leases) {
      if (isOfNamespace(lease.id)) lease.changes.push(change);
      if (!named.has(lease.id) || lease.isVoided) continue;
      lease.isVoided = true;
      leasesVoided += 1;
    }
    for (const [id, entry] of this.#entries) {
      if (!named.has(id) && !(isOfNamespace(id) && reaches(change, entry))) continue;
      if (named.has(id)) keysInvalidated += 1;
      this.#change(id, entry, change);
    }
    return { keysInvalidated, leasesVoided };
  }

  /** Forgets everything. */
  close(): void {
    this.#entries.clear();
    this.#failures.end(() => true);
  }

  /** As in a client, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #lease(id: string): Lease {
    this.#fence += 1;
    const lease: Lease = { id, fence: this.#fence, changes: [], isVoided: false };
    this.#leases.add(lease);
    return lease;
  }

  #publish({ id, fence, changes, isVoided }: Lease, entry: Entry): void {
    if (isVoided || (this.#entries.get(id)?.fence ?? 0) > fence) return;
    this.#failures.end((failed) => failed === id);
    this.#entries.set(id, entry);
    for (const change of changes) {
      const known = this.#entries.get(id);
      if (known !== undefined && reaches(change, known)) this.#change(id, known, change);
    }
  }

  #change(id: string, entry: Entry, { isMark, atMs }: Change): void {
    if (isMark) this.#entries.set(id, marked(entry, atMs));
    else this.#entries.delete(id);
  }

  #entry(fence: number, bytes: Buffer | null, options: Storing, said: Omit<HowStored, 'store'>): Entry {
    const { ttlMs, absentTtlMs = ttlMs } = options;
    const { staleMs = 0, tags = [] } = { ...options, ...said };
    const freshUntilMs = this.nowMs() + (said.ttlMs ?? (bytes === null ? absentTtlMs : ttlMs) ?? 0);
    return { bytes, freshUntilMs, servableUntilMs: freshUntilMs + staleMs, tags, fence };
  }
}

function reaches({ all, tags }: Change, entry: Entry): boolean {
  return all || entry.tags.some((tag) => tags.includes(tag));
}

/** Its stale time counts from the first mark. */
function marked(entry: Entry, nowMs: number): Entry {
  const { freshUntilMs, servableUntilMs } = entry;
  const staleMs = servableUntilMs - freshUntilMs;
  return {
    ...entry,
    freshUntilMs: Math.min(freshUntilMs, nowMs),
    servableUntilMs: Math.min(servableUntilMs, nowMs + staleMs),
  };
}
