import { expect, it } from 'vitest';
import { armedSnapshot } from '../../../../src/coordination/leasing/armed-snapshot.js';
import type { Snapshot } from '../../../../src/coordination/reading/snapshot.js';
import type { StoredValue } from '../../../../src/coordination/words/record.js';

const value: StoredValue = {
  payload: { kind: 'absent' },
  ...{ freshForMs: 100, servableForMs: 300, staleMs: 200, ageMs: 10, fence: 5, clock: 'c.1', tags: ['red'] },
};
const earlier: Snapshot = {
  record: { fence: 5, valueFence: 5, value },
  ...{ readAtMs: 1_000, arrivals: 3, sentAt: 7, from: 'store', namespace: { clock: 'c.1' } },
};
const armed = { fence: 6, valueFence: 5 };

it('an arm returns the value of the earlier read, aged, for the callers that this read could serve', () => {
  const snapshot = armedSnapshot(earlier, armed, { readAtMs: 1_120, arrivals: 9, sentAt: 11 });
  expect(snapshot.record.value).toEqual({ ...value, freshForMs: 0, servableForMs: 180, ageMs: 130 });
  expect(snapshot).toMatchObject({ readAtMs: 1_120, arrivals: 3, sentAt: 7, namespace: { clock: 'c.1' } });
  expect(snapshot.record.fence).toBe(6);
});

it('an arm returns no value if that has expired meanwhile, and then counts as a new read', () => {
  const snapshot = armedSnapshot(earlier, armed, { readAtMs: 1_301, arrivals: 9, sentAt: 11 });
  expect(snapshot.record.value).toBeUndefined();
  expect(snapshot).toMatchObject({ arrivals: 9, sentAt: 11 });
});
