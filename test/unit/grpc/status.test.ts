import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { CoordinationError } from '../../../src/coordination/words/errors.js';
import { statusOf } from '../../../src/grpc/status.js';

const never = (cause: unknown) => {
  throw cause;
};

describe('the map from errors to statuses', () => {
  it.each([
    ['invalid_argument', status.INVALID_ARGUMENT],
    ['exhausted', status.RESOURCE_EXHAUSTED],
    ['unavailable', status.UNAVAILABLE],
    ['permission_denied', status.PERMISSION_DENIED],
    ['unauthenticated', status.UNAUTHENTICATED],
    ['unimplemented', status.UNIMPLEMENTED],
    ['failed_precondition', status.FAILED_PRECONDITION],
  ] as const)('knows %s', (kind, code) => {
    expect(statusOf(new CoordinationError(kind, 'why'), never)).toMatchObject({ code, details: 'why' });
  });

  it.each(['exhausted', 'unavailable'] as const)('adds a retry hint to %s', (kind) => {
    const pushback = (retryAfterMs?: number) =>
      statusOf(new CoordinationError(kind, 'why', retryAfterMs), never).metadata.get(
        'grpc-retry-pushback-ms',
      );
    expect(pushback(0)).toEqual(['0']);
    expect(pushback(12.2)).toEqual(['13']);
    // gRPC spells "do not retry" as a negative hint.
    expect(pushback()).toEqual(['-1']);
  });

  it('adds no retry hint to errors that a retry cannot cure', () => {
    const { metadata } = statusOf(new CoordinationError('invalid_argument', 'why', 5), never);
    expect(metadata.toJSON()).toEqual({});
  });

  it('hides any other cause from the caller, and passes it to the log', () => {
    for (const cause of [new Error('password=secret'), 'secret', undefined, { code: 3, details: 'secret' }]) {
      const told: unknown[] = [];
      const { code, details, metadata } = statusOf(cause, (unexpected) => told.push(unexpected));
      expect({ code, metadata: metadata.toJSON() }).toEqual({ code: status.INTERNAL, metadata: {} });
      expect(details).not.toMatch('secret');
      expect(told).toEqual([cause]);
    }
  });
});
