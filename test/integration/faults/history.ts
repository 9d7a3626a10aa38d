/**
 * What clients recorded while everything around them failed. Times are milliseconds of the machine's monotonic clock,
 * which all processes share: `start` is before the call was sent, `end` after its answer came.
 */
export type Entry = GetEntry | GiveUpEntry | PublishEntry | ExtendEntry | InvalidateEntry;

export interface Timed {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

export interface GetEntry extends Timed {
  readonly e: 'get';
  /** Which replica was asked. */
  readonly replica: number;
  readonly waitMs: number;
  readonly store: boolean;
  readonly refresh: boolean;
  readonly outcome: 'hit' | 'lease' | 'busy' | 'failed' | 'error';
  readonly code?: string;
  readonly degraded?: string;
  readonly token?: string;
  readonly fence?: number;
  readonly expiresInMs?: number;
  readonly reason?: string;
  /** What the value contains: its key, and the fence and token of the lease under which it was rebuilt. */
  readonly value?: { readonly key: string; readonly fence: number; readonly token: string };
  readonly fresh?: boolean;
}

/** Written before a publish or a release is sent. From then on its holder claims nothing. */
export interface GiveUpEntry {
  readonly e: 'give_up';
  readonly key: string;
  readonly token: string;
  readonly at: number;
}

export interface PublishEntry extends Timed {
  readonly e: 'publish';
  readonly token: string;
  readonly outcome: string;
  readonly ttlMs: number;
}

export interface ExtendEntry extends Timed {
  readonly e: 'extend';
  readonly token: string;
  readonly outcome: string;
  readonly expiresInMs: number;
}

/** Written before it is sent, as not acknowledged and with its latest possible end, and again once acknowledged. */
export interface InvalidateEntry extends Timed {
  readonly e: 'invalidate';
  readonly replica: number;
  readonly mode: 'delete' | 'mark_stale';
  /** By tag: it also affects a later publish under an earlier lease. */
  readonly byTag?: boolean;
  readonly acknowledged: boolean;
}

/**
 * A time in which callers may be answered late, or leases extended by the quorum alone. `forgotten`: the store lost the
 * record of one key.
 */
export type Window =
  /** `starved`: every process got little CPU, which excuses late answers and nothing else. */
  | { readonly kind: 'stopped' | 'store' | 'starved'; readonly from: number; readonly to: number }
  | { readonly kind: 'forgotten'; readonly key: string; readonly from: number; readonly to: number };

export const meets = ({ from, to }: Pick<Window, 'from' | 'to'>, start: number, end: number) =>
  from < end && to > start;

export function byKey<E extends { readonly key: string }>(entries: readonly E[]): Map<string, E[]> {
  const keyed = new Map<string, E[]>();
  for (const entry of entries) {
    const same = keyed.get(entry.key);
    if (same === undefined) keyed.set(entry.key, [entry]);
    else same.push(entry);
  }
  return keyed;
}
