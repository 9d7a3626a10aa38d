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

  it.each([undefined, nowMs, nowMs - 60_000])(
    'with on_loss: degrade goes on without the lock nodes, late since %s',
    (sinceMs) => {
      expect(doesWithoutQuorum(degrades, sinceMs, nowMs)).toBe(true);
    },
  );

  it('with on_loss: fail retries late lock nodes for 900 ms, and fails at once if they are lost', () => {
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
  ] as const)('may grant a lease if the store is $missing and the lock nodes late ($isLate): $may', (it) => {
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

  it('may grant a lease at once if none is armed, even while lock nodes are only late', () => {
    const snapshot: Snapshot = { ...common, from: 'store', record: NO_RECORD };
    expect(mayDoWithoutQuorum(snapshot, true, nowMs, SILENCE_MS)).toBe(true);
  });

  it('may grant a lease S after the end of the armed one, and not before', () => {
    for (const isLate of [true, false]) {
      expect(mayDoWithoutQuorum(withLease(1), isLate, nowMs, SILENCE_MS)).toBe(false);
      expect(mayDoWithoutQuorum(withLease(-SILENCE_MS + 1), isLate, nowMs, SILENCE_MS)).toBe(false);
      expect(mayDoWithoutQuorum(withLease(-SILENCE_MS), isLate, nowMs, SILENCE_MS)).toBe(true);
    }
  });
});
