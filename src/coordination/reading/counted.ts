import type { Stamp } from '../ports/namespace-store.js';
import type { StoredFailure, ValueFacts } from '../words/record.js';
import { decodeTagClock } from '../words/tag-clock.js';

/**
 * The value with the stamps of its namespace and its tags applied: undefined if one of them was deleted since the
 * value's lease was granted, or if the clock is another one; stale if one was marked stale.
 */
export function counted<Value extends ValueFacts>(
  value: Value,
  clock: string,
  stamps: readonly Stamp[],
): Value | undefined {
  // Without a clock, it was lost with all of its stamps.
  if (clock === '') return undefined;
  if (value.clock === clock) return value;
  const own = decodeTagClock(value.clock);
  if (own.id !== decodeTagClock(clock).id) return undefined;
  let { freshForMs, servableForMs } = value;
  for (const { deletedAt, marks } of stamps) {
    if (deletedAt > own.at) return undefined;
    // The first one after its lease: a repeated mark must not let it be served for longer.
    const mark = marks.find(({ at }) => at > own.at);
    if (mark === undefined) continue;
    freshForMs = 0;
    servableForMs = Math.min(servableForMs, value.staleMs - mark.agoMs);
  }
  return servableForMs > 0 ? { ...value, freshForMs, servableForMs } : undefined;
}

/** A back-off ends when the whole namespace is invalidated, or its clock is lost. The count of its failures stays. */
export function withBackOff(failure: StoredFailure, clock: string, [whole]: readonly Stamp[]): StoredFailure {
  // A replica of the previous release writes no clock.
  if (failure.retryAfterMs === 0 || failure.clock === '') return failure;
  const own = decodeTagClock(failure.clock);
  const invalidatedAt = Math.max(whole?.deletedAt ?? 0, whole?.marks.at(-1)?.at ?? 0);
  const runs = own.id === decodeTagClock(clock).id && invalidatedAt <= own.at;
  return runs ? failure : { ...failure, retryAfterMs: 0 };
}

/** Whether a value of this clock counts as it was published: no stamp of its namespace or its tags is later. */
export function outlasts(own: string, clock: string, stamps: readonly Stamp[]): boolean {
  const { id, at } = decodeTagClock(own);
  if (id !== decodeTagClock(clock).id) return false;
  return stamps.every(({ deletedAt, marks }) => deletedAt <= at && !marks.some((mark) => mark.at > at));
}
