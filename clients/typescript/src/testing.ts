import { Callers } from './callers.js';
import type { Invalidate } from './calls.js';
import type { Dibs, DibsClient } from './client.js';
import { BYTES, type Codec } from './codec.js';
import { checked, checkText, type Storing } from './numbers.js';
import { type CodecOption, DEFAULT_WAIT_MS, type RebuildContext, type RebuildOptions } from './options.js';
import type { HowStored } from './rebuild.js';
import { asRebuildOf, reentrant } from './reentry.js';

interface Entry {
  readonly bytes: Buffer | null;
  readonly freshUntilMs: number;
  readonly servableUntilMs: number;
  readonly tags: readonly string[];
}

interface Running {
  readonly callers: Callers;
  readonly result: Promise<Buffer | null>;
}

/**
 * A double of {@link DibsClient} for unit tests: the same interface over this process's memory, with no other process
 * in the fleet. Values go through their codec, so that what cannot be stored is noticed here too. Each instance
 * begins empty.
 */
export class MemoryDibs implements Dibs {
  readonly #entries = new Map<string, Entry>();
  readonly #running = new Map<string, Running>();
  /** Raised by what an invalidation reaches: a result that was begun before is its own caller's only. */
  readonly #voided = new Map<string, number>();
  #fence = 0;
  #epoch = 0;

  /** `nowMs` is the clock that values expire by, in milliseconds. */
  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  getOrRebuild: DibsClient['getOrRebuild'] = async <T>(
    key: string,
    rebuild: (context: RebuildContext<T>) => Promise<T | null | undefined> | T | null | undefined,
    options: RebuildOptions & Partial<CodecOption<T>>,
  ): Promise<T | null> => {
    const { signal, waitMs = DEFAULT_WAIT_MS, ...asked } = checked(options);
    checkText('key', key);
    signal?.throwIfAborted();
    const codec = options.codec ?? (BYTES as unknown as Codec<T>);
    const id = idOf(asked.namespace, key);
    const known = this.#entries.get(id);
    const nowMs = this.nowMs();
    const isFresh = known !== undefined && nowMs < known.freshUntilMs;
    const isServable = known !== undefined && nowMs < known.servableUntilMs;
    const decoded = (bytes: Buffer | null) => (bytes === null ? null : codec.decode(Buffer.from(bytes)));
    const isReadable = known === undefined || canRead(codec, known.bytes);
    if (isFresh && isReadable && asked.refresh !== true) return decoded(known.bytes);
    const again = reentrant(this, asked.namespace ?? '', key);
    if (again !== undefined) throw again;
    const previous = isServable && isReadable && asked.stale !== 'forbid' ? known : undefined;
    const reason = asked.refresh === true || isFresh ? 'refresh' : known === undefined ? 'miss' : 'expired';
    const make = async (all: AbortSignal) => {
      const begun = this.#epoch;
      this.#fence += 1;
      const how: HowStored = { store: true };
      const context: RebuildContext<T> = {
        ...{ signal: all, fence: this.#fence, reason },
        previous: previous === undefined ? undefined : decoded(previous.bytes),
        storeWith: (said) => void Object.assign(how, said),
        doNotStore: () => {
          how.store = false;
        },
      };
      const value = await asRebuildOf(this, asked.namespace ?? '', [key], () => rebuild(context));
      const bytes = value === null || value === undefined ? null : Buffer.from(codec.encode(value));
      if (how.store && (this.#voided.get(id) ?? 0) <= begun) this.#keep(id, bytes, asked, checked(how));
      return bytes;
    };
    const rebuilding = this.#rebuilding(id, make, signal, performance.now() + waitMs);
    const isBehind = previous !== undefined && asked.refresh !== true && asked.revalidate !== 'await';
    if (!isBehind && !(previous !== undefined && asked.staleIfError === true))
      return decoded(await rebuilding);
    if (!isBehind) return decoded(await rebuilding.catch(() => previous?.bytes ?? null));
    rebuilding.catch(() => {});
    return decoded(previous.bytes);
  };

  #rebuilding(
    id: string,
    make: (signal: AbortSignal) => Promise<Buffer | null>,
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
    const named = new Set(keys.map((key) => idOf(namespace, key)));
    let keysInvalidated = 0;
    this.#epoch += 1;
    for (const id of named) this.#voided.set(id, this.#epoch);
    // A caller that comes after this call must not join what began before it.
    for (const id of this.#running.keys()) {
      const isOfNamespace = id.startsWith(idOf(namespace, ''));
      if (!named.has(id) && !(isOfNamespace && (all || tags.length > 0))) continue;
      this.#running.delete(id);
      this.#voided.set(id, this.#epoch);
    }
    for (const [id, entry] of this.#entries) {
      const isOfNamespace = id.startsWith(idOf(namespace, ''));
      const isTagged = entry.tags.some((tag) => tags.includes(tag));
      if (!named.has(id) && !(isOfNamespace && (all || isTagged))) continue;
      if (named.has(id)) keysInvalidated += 1;
      this.#voided.set(id, this.#epoch);
      if (mode === 'delete') this.#entries.delete(id);
      else this.#entries.set(id, { ...entry, freshUntilMs: 0 });
    }
    return { keysInvalidated, leasesVoided: 0 };
  }

  /** Forgets everything. */
  close(): void {
    this.#entries.clear();
  }

  #keep(id: string, bytes: Buffer | null, options: Storing, said: HowStored): void {
    const { ttlMs, absentTtlMs = ttlMs } = options;
    const { staleMs = 0, tags = [] } = { ...options, ...said };
    const freshUntilMs = this.nowMs() + (said.ttlMs ?? (bytes === null ? absentTtlMs : ttlMs) ?? 0);
    this.#entries.set(id, { bytes, freshUntilMs, servableUntilMs: freshUntilMs + staleMs, tags });
  }
}

function idOf(namespace: string | undefined, key: string): string {
  return `${namespace || 'default'}\0${key}`;
}

function canRead<T>(codec: Codec<T>, bytes: Buffer | null): boolean {
  try {
    if (bytes !== null) codec.decode(Buffer.from(bytes));
    return true;
  } catch {
    return false;
  }
}
