import { expect, it } from 'vitest';
import { connectionsWithin, openFilesMaxOf } from '../../../../src/grpc/door/descriptors.js';

it.each([
  [10_000, 1_000_000, 10_000],
  [10_000, Number.POSITIVE_INFINITY, 10_000],
  [10_000, 4_096, 2_896],
  [10_000, 1_024, 512],
  [100, 1_024, 100],
  [10_000, 1, 1],
])('of %i connections with %i descriptors there may be %i', (wanted, openFilesMax, allowed) => {
  expect(connectionsWithin(wanted, openFilesMax)).toBe(allowed);
});

it('reads the limit of this process', () => {
  expect(openFilesMaxOf(process.report)).toBeGreaterThan(100);
  expect(openFilesMaxOf(undefined)).toBe(Number.POSITIVE_INFINITY);
});
