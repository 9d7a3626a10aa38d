import type { Invalidate } from './calls.js';
import type { Dibs, DibsClient } from './client.js';
import { BYTES, type Codec } from './codec.js';
import { Flights } from './flights.js';
import type { CodecOption, RebuildContext, RebuildOptions } from './options.js';

interface Entry {
  readonly bytes: Buffer | null;
  readonly freshUntilMs: number;
  readonly servableUntilMs: number;
  readonly tags: readonly string[];
}

/**
 * A double of {@link DibsClient} for unit tests: the same interface over this process's memory, with nobody else
 * in the fleet. Values go through their codec, so that what cannot be stored is noticed here too. Each instance
 * begins empty.
 */
export class MemoryDibs implements Dibs {
  readonly #entries = new Map<string, Entry>();
  readonly #flights = new Flights<Buffer | null>();
  /** Raised by what an invalidation reaches: a result that was begun before is its own caller's only. */
  readonly #voided = new Map<string, number>();
  #fence = 0;
  #epoch = 0;

  /** `nowMs` is the clock that values expire by, in milliseconds. */
  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  getOrRebuild: DibsClient['getOrRebuild'] = async <T>(
    key: string,
    rebuild: (context: RebuildContext<T>) => Promise<T | null> | T | null,
    { signal, ...options }: RebuildOptions & Partial<CodecOption<T>>,
  ): Promise<T | null> => {
    const codec = options.codec ?? (BYTES as unknown as Codec<T>);
    const id = idOf(options.namespace, key);
    const known = this.#entries.get(id);
    const nowMs = this.nowMs();
    const isFresh = known !== undefined && nowMs < known.freshUntilMs;
    const isServable = known !== undefined && nowMs < known.servableUntilMs;
    const decoded = (bytes: Buffer | null) => (bytes === null ? null : codec.decode(bytes));
    if (isFresh && options.refresh !== true) return decoded(known.bytes);
    const previous = isServable && options.stale !== 'forbid' ? known : undefined;
    const reason = options.refresh === true ? 'refresh' : known === undefined ? 'miss' : 'expired';
    const fly = async (all: AbortSignal) => {
      const begun = this.#epoch;
      this.#fence += 1;
      const fence = this.#fence;
      const before = previous === undefined ? undefined : decoded(previous.bytes);
      const value = await rebuild({ signal: all, fence, reason, previous: before });
      const bytes = value === null ? null : Buffer.from(codec.encode(value));
      if ((this.#voided.get(id) ?? 0) <= begun) this.#keep(id, bytes, options);
      return bytes;
    };
    const rebuilding = this.#flights.join(id, fly, signal);
    if (previous !== undefined && options.refresh !== true && options.revalidate !== 'await') {
      rebuilding.catch(() => {});
      return decoded(previous.bytes);
    }
    return decoded(await rebuilding);
  };

  async invalidate({ namespace, keys = [], tags = [], all = false, mode = 'delete' }: Invalidate) {
    const named = new Set(keys.map((key) => idOf(namespace, key)));
    let keysInvalidated = 0;
    this.#epoch += 1;
    for (const id of named) this.#voided.set(id, this.#epoch);
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

  #keep(id: string, bytes: Buffer | null, options: RebuildOptions): void {
    const { ttlMs, absentTtlMs = ttlMs, staleMs = 0, tags = [] } = options;
    const freshUntilMs = this.nowMs() + (bytes === null ? absentTtlMs : ttlMs);
    this.#entries.set(id, { bytes, freshUntilMs, servableUntilMs: freshUntilMs + staleMs, tags });
  }
}

function idOf(namespace: string | undefined, key: string): string {
  return `${namespace || 'default'}\0${key}`;
}
