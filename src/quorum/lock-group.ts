import { createHash } from 'node:crypto';
import type { LockGroup } from '../coordination/ports/lease-quorum.js';

/** 66 bits: two groups of one fleet never have the same name by accident. */
const NAME_LENGTH = 11;

/** The name of a group of nodes, from their addresses (`HOST:PORT`). Order and upper case do not matter. */
export function lockGroupOf(addresses: readonly string[], among: 'only' | 'others' = 'only'): LockGroup {
  const sorted = addresses.map((address) => address.toLowerCase()).sort();
  // No address has a comma in it.
  const name = createHash('sha256').update(sorted.join(',')).digest('base64url').slice(0, NAME_LENGTH);
  return { name, label: among === 'only' ? '' : (sorted[0] ?? '') };
}
