import { expect, it } from 'vitest';
import { connectionsWithin, openFilesMaxOf } from '../../src/open-files.js';

it.each([
  [10_000, 1_000_000, { grpc: 10_000, http: 1_000 }],
  [10_000, Number.POSITIVE_INFINITY, { grpc: 10_000, http: 1_000 }],
  [10_000, 8_000, { grpc: 6_800, http: 1_000 }],
  [10_000, 7_992, { grpc: 6_792, http: 999 }],
  [10_000, 1_024, { grpc: 512, http: 128 }],
  [100, 1_024, { grpc: 100, http: 128 }],
  [10_000, 1, { grpc: 1, http: 1 }],
])('of %i connections with %i descriptors, %o are allowed', (grpc, openFilesMax, allowed) => {
  expect(connectionsWithin({ grpc, http: 1_000 }, openFilesMax)).toEqual(allowed);
});

it('the limit of this process is read', () => {
  expect(openFilesMaxOf(process.report)).toBeGreaterThan(100);
  expect(openFilesMaxOf(undefined)).toBe(Number.POSITIVE_INFINITY);
});
