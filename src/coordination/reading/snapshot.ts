import type { Missing } from '../ports/value-store.js';
import type { Degraded } from '../words/outcome.js';
import type { KeyRecord, RebuildTimes, StoredValue } from '../words/record.js';
import type { Copy } from './changes.js';

/** A record as one replica saw it, and how far it may be trusted. */
export interface Snapshot {
  readonly record: KeyRecord;
  /** A value that the store has and that does not count. No caller gets it. It spares the next read its transfer. */
  readonly uncounted?: StoredValue | undefined;
  /** When the read was *sent*, on the replica's clock: counting from there never makes anything last longer. */
  readonly readAtMs: number;
  /** When its reply came, if that is later. A lease counts from then, and so never seems over too early. */
  readonly heardAtMs?: number | undefined;
  /** Callers that arrived before this one had arrived when the read was sent. For them it is as good as their own. */
  readonly arrivals: number;
  /** `publish`: passed on inside the replica and not read from the store, so READ_STORE does not accept it. */
  readonly from: 'store' | 'publish' | 'nowhere';
  /** How the store was missing; absent unless `from` is `nowhere`. */
  readonly missing?: Missing | undefined;
  /** Passed on from a lease that the store does not know: what was missing when it was granted. */
  readonly degraded?: Degraded | undefined;
  /** How many changes had arrived at this replica when the read, or the publish, was sent ({@link Changes}). */
  readonly sentAt: number;
  /** What was read of the namespace together with the record; absent unless `from` is `store`. */
  readonly namespace?:
    | {
        /** Its tag clock, as a lease carries it. */
        readonly clock: string;
        readonly rebuild?: RebuildTimes;
      }
    | undefined;
}

/** How long the record's lease still runs at `nowMs`; 0 or less if it has expired, or if there is none. */
export function leaseLeftMs(snapshot: Snapshot, nowMs: number): number {
  const lease = snapshot.record.lease;
  return lease === undefined ? 0 : lease.expiresInMs - (nowMs - (snapshot.heardAtMs ?? snapshot.readAtMs));
}

/** The snapshot's value as a copy, for {@link Changes}. Without a value, only the time of the read counts. */
export function copyOf({ record: { value }, sentAt, namespace }: Snapshot): Copy {
  if (value === undefined) return { sentAt, fence: 0, clock: '', tags: [] };
  return { sentAt, fence: value.fence, clock: namespace?.clock ?? value.clock, tags: value.tags };
}
