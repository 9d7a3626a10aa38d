import { describe, expect, it } from 'vitest';
import {
  doesWithoutQuorum,
  mayDoWithoutQuorum,
} from '../../../../src/coordination/leasing/without-quorum.js';
import type { Missing } from '../../../../src/coordination/ports/value-store.js';
import type { Snapshot } from '../../../../src/coordination/reading/snapshot.js';
import { defaultPolicy } from '../../../../src/coordination/words/policy.js';
import { NO_RECORD } from '../../../../src/coordination/words/record.js';
import { LIMITS } from '../../../support/coordination-trial.js';

const SILENCE_MS = 2_000;
const nowMs = 10_000;
const common = { readAtMs: nowMs, arrivals: 0, sentAt: 0 };

describe('a namespace', () => {
  const degrades = defaultPolicy(LIMITS);
  const fails = { ...degrades, onLoss: 'fail' as const };

  it.each([undefined, nowMs, nowMs - 60_000])('that degrades does without them, late since %s', (sinceMs) => {
    expect(doesWithoutQuorum(degrades, sinceMs, nowMs)).toBe(true);
  });

  it('that rather fails asks them again for 900 ms while they are late, and not where they are lost', () => {
    expect(doesWithoutQuorum(fails, nowMs - 899, nowMs)).toBe(false);
    expect(() => doesWithoutQuorum(fails, nowMs - 900, nowMs)).toThrow(/on_loss is fail/);
    expect(() => doesWithoutQuorum(fails, undefined, nowMs)).toThrow(/on_loss is fail/);
  });
});

describe('this replica alone', () => {
  const nowhere = (missing: Missing): Snapshot => ({
    ...common,
    record: NO_RECORD,
    from: 'nowhere',
    missing,
  });

  it.each([
    { missing: 'gone', isLate: false, may: true },
    { missing: 'gone', isLate: true, may: false },
    { missing: 'silent', isLate: false, may: false },
    { missing: 'late', isLate: false, may: false },
  ] as const)('with a store that is $missing, and lock nodes late: $isLate, may: $may', (it) => {
    expect(mayDoWithoutQuorum(nowhere(it.missing), it.isLate, nowMs, SILENCE_MS)).toBe(it.may);
  });
});

describe('the store alone', () => {
  const withLease = (expiresInMs: number): Snapshot => ({
    ...common,
    from: 'store',
    record: {
      ...NO_RECORD,
      lease: {
        ...{ nonce: 'n', fence: 1, leaseMs: 1_000, ageMs: 0, holder: '', traceparent: '', requestKey: '' },
        ...{ reason: 'miss', owner: 1, quorumLost: false, expiresInMs },
      },
    },
  });

  it('may at once where no lease is armed, also while lock nodes are only late', () => {
    const snapshot: Snapshot = { ...common, from: 'store', record: NO_RECORD };
    expect(mayDoWithoutQuorum(snapshot, true, nowMs, SILENCE_MS)).toBe(true);
  });

  it('may S after the end of the armed lease, and not before', () => {
    for (const isLate of [true, false]) {
      expect(mayDoWithoutQuorum(withLease(1), isLate, nowMs, SILENCE_MS)).toBe(false);
      expect(mayDoWithoutQuorum(withLease(-SILENCE_MS + 1), isLate, nowMs, SILENCE_MS)).toBe(false);
      expect(mayDoWithoutQuorum(withLease(-SILENCE_MS), isLate, nowMs, SILENCE_MS)).toBe(true);
    }
  });
});
