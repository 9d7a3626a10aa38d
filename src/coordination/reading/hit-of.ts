import type { Hit } from '../words/outcome.js';
import type { Snapshot } from './snapshot.js';

/** The value as a hit, if it may still be served at `nowMs`, fresh or stale. */
export function hitOf(snapshot: Snapshot, nowMs: number, rebuilding: boolean): Hit | undefined {
  const value = snapshot.record.value;
  if (value === undefined) return undefined;
  const ageMs = nowMs - snapshot.readAtMs;
  if (value.servableForMs - ageMs <= 0) return undefined;
  // Rounded down: a client's own cache must never keep it a moment longer than the store would.
  const freshForMs = Math.max(0, Math.floor(value.freshForMs - ageMs));
  const { payload, tags, fence } = value;
  // Clients keep a value that is fresh for more than 0 ms, and no wake would tell them to drop one that the store does
  // not have.
  const keepForMs = snapshot.degraded === undefined ? freshForMs : 0;
  return { kind: 'hit', payload, fresh: freshForMs > 0, freshForMs: keepForMs, fence, tags, rebuilding };
}
