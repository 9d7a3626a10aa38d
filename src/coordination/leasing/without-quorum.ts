import { leaseLeftMs, type Snapshot } from '../reading/snapshot.js';

/**
 * Whether a lease may be given without the lock nodes: by the store alone, or by this replica alone. `isLate`: some of
 * the nodes may only be slow.
 */
export function mayDoWithoutQuorum(
  snapshot: Snapshot,
  isLate: boolean,
  nowMs: number,
  silenceMs: number,
): boolean {
  // Lock nodes that are only slow may have granted it to another replica, and a store that is may have armed it.
  if (snapshot.from === 'nowhere') return !isLate && snapshot.missing === 'gone';
  // While the store was late, its holder may have extended it at the lock nodes.
  return snapshot.record.lease === undefined || -leaseLeftMs(snapshot, nowMs) >= silenceMs;
}
