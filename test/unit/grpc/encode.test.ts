import { describe, expect, it } from 'vitest';
import { keyOf } from '../../../src/coordination/words/key.js';
import type {
  BusyReason,
  Hit,
  LeaseReason,
  PublishOutcome,
} from '../../../src/coordination/words/outcome.js';
import {
  encodeExtend,
  encodeGetOrLock,
  encodeInvalidate,
  encodePublish,
  encodeRelease,
} from '../../../src/grpc/encode.js';
import {
  ExtendResponse,
  GetOrLockResponse,
  PublishResponse,
  ReleaseResponse,
} from '../../../src/grpc/generated/dibs/v1/coordinator.js';
import { encodeToken } from '../../../src/grpc/token.js';
import { someLease } from '../../support/some-lease.js';

const key = keyOf('default', 'k');
const hit: Hit = {
  kind: 'hit',
  payload: { kind: 'value', bytes: Buffer.from('v') },
  fresh: true,
  freshForMs: 1500.7,
  tags: ['red'],
  fence: 7,
  rebuilding: false,
};
/** The answer as a client decodes it, in the names of the contract. */
const onWire = (answer: Parameters<typeof encodeGetOrLock>[0]) =>
  GetOrLockResponse.toJSON(
    GetOrLockResponse.decode(GetOrLockResponse.encode(encodeGetOrLock(answer, key)).finish()),
  );

describe('a GetOrLock answer', () => {
  it('is a fresh hit, or a stale one, or a known absence', () => {
    expect(onWire({ outcome: hit, degraded: 'none' })).toEqual({
      hit: {
        value: 'dg==',
        freshness: 'FRESHNESS_FRESH',
        freshForMs: 1500,
        fence: 7,
        tags: { names: ['red'] },
      },
      degraded: 'DEGRADED_NONE',
    });
    const stale: Hit = {
      ...hit,
      payload: { kind: 'absent' },
      fresh: false,
      freshForMs: 0,
      fence: 0,
      rebuilding: true,
    };
    expect(onWire({ outcome: stale, degraded: 'store_lost' })).toEqual({
      hit: { absent: true, freshness: 'FRESHNESS_STALE', rebuilding: true, tags: { names: ['red'] } },
      degraded: 'DEGRADED_STORE_LOST',
    });
  });

  it('distinguishes an empty value from an absent one', () => {
    const empty: Hit = { ...hit, payload: { kind: 'value', bytes: Buffer.alloc(0) } };
    expect(onWire({ outcome: empty, degraded: 'none' })).toMatchObject({ hit: { value: '' } });
  });

  it('is a lease with its time rounded down and the previous value', () => {
    const lease = {
      ...someLease(),
      fence: 9,
      expiresInMs: 99.9,
      reason: 'expired',
    } as const;
    expect(onWire({ outcome: { ...lease, previous: hit }, degraded: 'quorum_lost' })).toEqual({
      lease: {
        token: encodeToken(key, lease.token),
        fence: 9,
        expiresInMs: 99,
        reason: 'LEASE_REASON_EXPIRED',
        previous: expect.objectContaining({ value: 'dg==' }),
      },
      degraded: 'DEGRADED_QUORUM_LOST',
    });
    expect(onWire({ outcome: lease, degraded: 'local' })).not.toHaveProperty('lease.previous');
  });

  it('is busy or failed, with times rounded up', () => {
    const busy = { kind: 'busy', retryAfterMs: 10.1, holderAgeMs: 0.5, reason: 'wait_ended' } as const;
    expect(onWire({ outcome: busy, degraded: 'none' })).toMatchObject({
      busy: { retryAfterMs: 11, holderAgeMs: 1, reason: 'BUSY_REASON_WAIT_ENDED' },
    });
    const failed = { kind: 'failed', message: 'origin down', retryAfterMs: 0.2 } as const;
    expect(onWire({ outcome: failed, degraded: 'none' })).toMatchObject({
      failed: { message: 'origin down', retryAfterMs: 1 },
    });
  });
});

// The domain's words are those of the contract, so that none of them can be swapped unnoticed.
describe('the words of the contract', () => {
  it.each([
    'miss',
    'expired',
    'early_refresh',
    'invalidated',
    'holder_lost',
    'refresh',
  ] satisfies LeaseReason[])('for a lease: %s', (reason) => {
    const lease = { ...someLease(), reason };
    expect(onWire({ outcome: lease, degraded: 'none' })).toMatchObject({
      lease: { reason: `LEASE_REASON_${reason.toUpperCase()}` },
    });
  });

  it.each([
    'wait_ended',
    'deadline_too_short',
    'undecided',
    'budget',
    'draining',
    'no_value',
  ] satisfies BusyReason[])('for busy: %s', (reason) => {
    const busy = { kind: 'busy', retryAfterMs: 1, holderAgeMs: 1, reason } as const;
    expect(onWire({ outcome: busy, degraded: 'none' })).toMatchObject({
      busy: { reason: `BUSY_REASON_${reason.toUpperCase()}` },
    });
  });

  it.each([
    'stored',
    'stored_late',
    'duplicate',
    'superseded',
    'invalidated',
    'unknown_lease',
    'not_stored',
  ] satisfies PublishOutcome[])('for a publish: %s', (outcome) => {
    expect(PublishResponse.toJSON(encodePublish({ outcome, fence: 3 }))).toEqual({
      outcome: `PUBLISH_OUTCOME_${outcome.toUpperCase()}`,
      fence: 3,
    });
  });

  it('for release, extend and invalidate', () => {
    const released = (outcome: 'released' | 'not_held') => ReleaseResponse.toJSON(encodeRelease(outcome));
    expect(released('released')).toEqual({ outcome: 'RELEASE_OUTCOME_RELEASED' });
    expect(released('not_held')).toEqual({ outcome: 'RELEASE_OUTCOME_NOT_HELD' });
    const extended = (outcome: 'extended' | 'lost', expiresInMs: number) =>
      ExtendResponse.toJSON(encodeExtend({ outcome, expiresInMs }));
    expect(extended('extended', 9.9)).toEqual({ outcome: 'EXTEND_OUTCOME_EXTENDED', expiresInMs: 9 });
    expect(extended('lost', 0)).toEqual({ outcome: 'EXTEND_OUTCOME_LOST' });
    expect(encodeInvalidate({ keysInvalidated: 2, leasesVoided: 1 })).toEqual({
      keysInvalidated: 2,
      leasesVoided: 1,
    });
  });
});
