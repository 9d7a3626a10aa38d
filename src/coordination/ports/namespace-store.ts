import type { RebuildTimes } from '../words/record.js';
import type { TagClock } from '../words/tag-clock.js';

/**
 * What the value store keeps of a namespace as a whole: its tag clock with the stamps of what was
 * invalidated, how long its rebuilds take, and the slots of its origin slots. Each method is one atomic
 * step, and rejects with `StoreUnavailable` as those of the value store do.
 */
export interface NamespaceStore {
  /**
   * Reads the namespace, and begins its clock if there is none: a lost one begins anew, under another id. With
   * `rebuildMs`, one rebuild is first added to the namespace's times.
   */
  read(namespace: string, tags: readonly string[], rebuildMs?: number): Promise<NamespaceRecord>;
  /** Raises the clock and stamps each tag, or the whole namespace, with it; sends the wake. Resolves to the raised clock. */
  invalidate(namespace: string, request: NamespaceInvalidate): Promise<TagClock>;
  /** Takes one of `max` slots for `ttlMs`, or says that all are taken. The same slot is taken again at once. */
  enter(namespace: string, request: SlotRequest): Promise<boolean>;
  /** Lets a slot last `ttlMs` from now on, under the name `as`. False if its time was over. */
  keep(namespace: string, slot: string, as: string, ttlMs: number): Promise<boolean>;
  /** Gives a slot back and sends the wake. */
  leave(namespace: string, slot: string): Promise<void>;
}

export interface NamespaceRecord {
  /** As a lease carries it, and the value that is published under it. */
  readonly clock: string;
  readonly rebuild?: RebuildTimes;
  /** Of the whole namespace, and then of each tag that was asked for. */
  readonly stamps: readonly Stamp[];
}

/** When something was last invalidated, on the tag clock; 0 for never. */
export interface Stamp {
  readonly deletedAt: number;
  readonly staleAt: number;
  /** How long ago it was marked stale. */
  readonly staleAgoMs: number;
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
  /** The longest that any slot is taken for: what ends later was taken before the store's clock was set back. */
  readonly ttlMsMax: number;
}

/** Beyond so many stamps a namespace forgets them, and everything in it counts as deleted: 1,000 tags a second for a minute or two. */
export const STAMPS_MAX = 100_000;
