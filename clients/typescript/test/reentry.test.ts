import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { asRebuildOf, reentrant } from '../src/reentry.js';

const client = {};

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('a rebuild is seen after none has run for a while', async () => {
  const seen = () => reentrant(client, '', 'k') !== undefined;
  expect(await asRebuildOf(client, '', ['k'], seen)).toBe(true);
  vi.advanceTimersByTime(10_000);
  expect(seen()).toBe(false);
  expect(await asRebuildOf(client, '', ['k'], seen)).toBe(true);
});

it('a long rebuild is still seen when others have ended', async () => {
  const long = asRebuildOf(client, '', ['long'], async () => {
    await asRebuildOf(client, '', ['short'], () => {});
    vi.advanceTimersByTime(10_000);
    await Promise.resolve();
    return reentrant(client, '', 'long') !== undefined;
  });
  expect(await long).toBe(true);
});
