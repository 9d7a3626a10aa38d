import type { StorePublish } from '../ports/value-store.js';
import type { KeyRecord } from '../words/record.js';

/** The record that a read would return at the moment of the publish. */
export function justStored(
  { payload, ttlMs, staleMs, tags }: Pick<StorePublish, 'payload' | 'ttlMs' | 'staleMs' | 'tags'>,
  fence: number,
  clock: string,
): KeyRecord {
  const servableForMs = ttlMs + staleMs;
  const value = { payload, freshForMs: ttlMs, servableForMs, staleMs, ageMs: 0, fence, clock, tags };
  return { fence, valueFence: fence, value };
}
