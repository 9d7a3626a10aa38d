import type { Snapshot } from '../reading/snapshot.js';
import type { RecordFacts } from '../words/record.js';

/**
 * The record as it was armed. The read tells whether its value counts. It is the same value: with another value, or a
 * mark on it, the lease would not have been armed.
 */
export function armedSnapshot(
  looked: Snapshot,
  record: RecordFacts,
  sent: Pick<Snapshot, 'readAtMs' | 'arrivals' | 'sentAt'>,
): Snapshot {
  const { namespace } = looked;
  const { readAtMs } = sent;
  const { value } = looked.record;
  const lateMs = readAtMs - looked.readAtMs;
  if (value === undefined || value.servableForMs <= lateMs) {
    const { arrivals, sentAt } = sent;
    return { record, readAtMs, arrivals, sentAt, from: 'store', namespace };
  }
  const aged = {
    ...value,
    freshForMs: Math.max(0, value.freshForMs - lateMs),
    servableForMs: value.servableForMs - lateMs,
    ageMs: value.ageMs + lateMs,
  };
  // A tag may have been invalidated between the read and the arm. A later caller must not count it as its own read.
  const { arrivals, sentAt } = looked;
  return { record: { ...record, value: aged }, readAtMs, arrivals, sentAt, from: 'store', namespace };
}
