import { expect, test } from 'vitest';
import { unarmed } from '../../../../src/coordination/leasing/attempt.js';
import type { Snapshot } from '../../../../src/coordination/reading/snapshot.js';
import type { RecordFacts } from '../../../../src/coordination/words/record.js';

const read = { record: { fence: 7, valueFence: 5 } } as Snapshot;
const found = (of: Partial<RecordFacts>, expiresInMs: number) =>
  ({ fence: 7, valueFence: 5, lease: { expiresInMs }, ...of }) as RecordFacts;

test('a refused arm is retried after a pause if the record is unchanged and its lease has ended', () => {
  const keptBack = { kind: 'undecided', by: 'other_lock_nodes' };
  expect(unarmed(read, found({}, 0))).toEqual(keptBack);
  expect(unarmed(read, found({}, -1_000))).toEqual(keptBack);
});

test('the record is read again if it has changed, or if its lease runs', () => {
  const again = { kind: 'read_again' };
  expect(unarmed(read, found({ fence: 8 }, -1))).toEqual(again);
  expect(unarmed(read, found({ valueFence: 7 }, -1))).toEqual(again);
  expect(unarmed(read, found({}, 1))).toEqual(again);
  expect(unarmed(read, { fence: 7, valueFence: 5 })).toEqual(again);
});
