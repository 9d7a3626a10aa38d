import type { Snapshot } from '../reading/snapshot.js';
import type { RecordFacts } from '../words/record.js';

/**
 * The record as it was armed. What counts of its value is known from the read: it is the same value, for
 * another one, or a mark on it, would have kept the lease from being armed.
 */
export function armedSnapshot(
  looked: Snapshot,
  record: RecordFacts,
  sent: Pick<Snapshot, 'readAtMs' | 'arrivals' | 'sentAt'>,
): Snapshot {
  const { value } = looked.record;
  const ageMs = sent.readAtMs - looked.readAtMs;
  const aged = value && {
    ...value,
    freshForMs: Math.max(0, value.freshForMs - ageMs),
    servableForMs: value.servableForMs - ageMs,
    ageMs: value.ageMs + ageMs,
  };
  const { namespace } = looked;
  if (aged === undefined || aged.servableForMs <= 0) return { ...sent, record, from: 'store', namespace };
  // A tag may have been invalidated between the read and the arm: a later caller must not count it as its own read.
  const { arrivals, sentAt } = looked;
  return { ...sent, arrivals, sentAt, record: { ...record, value: aged }, from: 'store', namespace };
}
