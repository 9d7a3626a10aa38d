import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { dibsErrorOf } from '../src/errors.js';

const ended = (code: number, details: string): ServiceError =>
  Object.assign(new Error(details), { code, details, metadata: new Metadata() });

describe('the end of a call', () => {
  it.each([
    ['Received RST_STREAM with code 2 triggered by internal client error: Session closed', status.INTERNAL],
    ['Received RST_STREAM with code 0', status.INTERNAL],
    ['Bandwidth exhausted or memory limit exceeded', status.RESOURCE_EXHAUSTED],
  ])('is UNAVAILABLE if its connection was closed: %s', (details, code) => {
    const error = dibsErrorOf(ended(code, details));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: undefined });
    expect(error.message).toContain(details);
  });

  it("is otherwise the service's status", () => {
    const own = 'internal error; its cause is in the log of this replica';
    expect(dibsErrorOf(ended(status.INTERNAL, own))).toMatchObject({ code: 'INTERNAL', message: own });
    const bound = 'value: 2 bytes is outside 0 to 1';
    expect(dibsErrorOf(ended(status.RESOURCE_EXHAUSTED, bound)).code).toBe('RESOURCE_EXHAUSTED');
  });
});
