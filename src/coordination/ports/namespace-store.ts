import type { RebuildTimes } from '../words/record.js';
import type { TagClock } from '../words/tag-clock.js';

/**
 * What the value store keeps of a namespace as a whole: its tag clock with the stamps of its invalidations, how long
 * its rebuilds take, and its rebuild slots. Each method is one atomic step, and rejects with `StoreUnavailable` as
 * those of the value store do.
 */
export interface NamespaceStore {
  /**
   * Reads the namespace, and creates nothing. With `rebuildMs`, first adds one rebuild to the times of an existing
   * namespace.
   */
  read(namespace: string, tags: readonly string[], rebuildMs?: number): Promise<NamespaceRecord>;
  /**
   * Starts the clock if there is none, and keeps the namespace for at least `keepMs` from now, as long as anything that
   * carries its clock. A lost clock starts again, with another id.
   */
  begin(namespace: string, keepMs: number): Promise<TagClock>;
  /** Raises the clock and stamps each tag, or the whole namespace, with it; sends the wake. Resolves to the raised clock. */
  invalidate(namespace: string, request: NamespaceInvalidate): Promise<TagClock>;
  /** Takes one of `max` slots for `ttlMs`. False if all are taken. The same slot can be taken again. */
  enter(namespace: string, request: SlotRequest): Promise<boolean>;
  /** Keeps a slot for `ttlMs` from now, under the name `as`. False if it had expired. */
  keep(namespace: string, slot: string, as: string, ttlMs: number): Promise<boolean>;
  /** Gives a slot back and sends the wake. */
  leave(namespace: string, slot: string): Promise<void>;
}

export interface NamespaceRecord {
  /** In the form in which a lease, and the value published under it, carry it; empty if there is none. */
  readonly clock: string;
  /** How long the namespace lasts from now on; 0 if there is none. */
  readonly keptForMs: number;
  readonly rebuild?: RebuildTimes | undefined;
  /** The stamp of the whole namespace, then of each requested tag; empty without a clock. */
  readonly stamps: readonly Stamp[];
}

/** When something was invalidated, on the tag clock. */
export interface Stamp {
  /** When it was last deleted, 0 for never; for a tag whose stamp was forgotten, no earlier than that. */
  readonly deletedAt: number;
  /** When it was marked stale since then, oldest first. */
  readonly marks: readonly Mark[];
}

export interface Mark {
  readonly at: number;
  /** How long ago that was. */
  readonly agoMs: number;
}

export interface NamespaceInvalidate {
  readonly tags: readonly string[];
  readonly all: boolean;
  readonly mode: 'delete' | 'mark_stale';
}

export interface SlotRequest {
  readonly slot: string;
  readonly max: number;
  readonly ttlMs: number;
  /**
   * The longest time for which a slot can be taken. A slot that ends later was taken before the store's clock was set
   * back.
   */
  readonly ttlMsMax: number;
}

/**
 * Beyond this many tags, the oldest stamps are forgotten, and a floor replaces them. With the cells of that floor, a
 * hash stays below 100,000 fields. Beyond that, a replica of the previous release forgets all.
 */
export const STAMPS_MAX = 80_000;

/** How many marks of one tag are kept: each is about two and a half times as old as the next. */
export const MARKS_MAX = 16;

/** How long a namespace lasts if an invalidation created it: nothing carries its clock yet. */
export const BEGUN_KEEP_MS = 3_600_000;
