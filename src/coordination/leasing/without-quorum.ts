import { FAIL_MS } from '../degradation/patience.js';
import { throwIfOnLossFails } from '../degradation/unavailable.js';
import { leaseLeftMs, type Snapshot } from '../reading/snapshot.js';
import type { Policy } from '../words/policy.js';

/**
 * Whether the namespace continues without the missing lock nodes. With `on_loss: fail`, throws the error at once if
 * they are lost, and within a second if they are only late (`lateSinceMs`). Until then they are asked again.
 */
export function doesWithoutQuorum(policy: Policy, lateSinceMs: number | undefined, nowMs: number): boolean {
  const isLate = lateSinceMs !== undefined && nowMs - lateSinceMs < FAIL_MS;
  if (!isLate) throwIfOnLossFails(policy, 'the lock nodes');
  return policy.onLoss !== 'fail';
}

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
  // Slow lock nodes may have granted it to another replica, and a slow store may have armed it.
  if (snapshot.from === 'nowhere') return !isLate && snapshot.missing === 'gone';
  // While the store was late, its holder may have extended it at the lock nodes.
  return snapshot.record.lease === undefined || -leaseLeftMs(snapshot, nowMs) >= silenceMs;
}
