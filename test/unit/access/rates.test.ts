import { expect, it } from 'vitest';
import { Rates } from '../../../src/access/rates.js';
import { ManualClock } from '../../support/manual-clock.js';

function trial() {
  const clock = new ManualClock();
  const rates = new Rates(clock);
  const spend = (perSecond: number, calls = 1, name = 'checkout') => rates.spend(name, perSecond, calls);
  return { clock, rates, spend };
}

it('allows a burst of one second, and refuses one more with a retry hint', () => {
  const { clock, spend } = trial();
  for (let at = 0; at < 5; at += 1) expect(() => spend(5)).not.toThrow();
  expect(() => spend(5)).toThrow(
    expect.objectContaining({
      kind: 'exhausted',
      message: 'identity checkout exceeds 5 calls a second (calls_per_second in DIBS_AUTH_FILE)',
      retryAfterMs: 200,
    }),
  );
  clock.advance(199);
  expect(() => spend(5)).toThrow(expect.objectContaining({ retryAfterMs: 1 }));
  clock.advance(1);
  expect(() => spend(5)).not.toThrow();
  expect(() => spend(5)).toThrow();
});

it('saves at most one second, separately for each identity', () => {
  const { clock, spend } = trial();
  spend(3);
  clock.advance(60_000);
  for (let at = 0; at < 3; at += 1) spend(3);
  expect(() => spend(3)).toThrow();
  expect(() => spend(3, 1, 'search')).not.toThrow();
});

it('allows a call that counts for more than is left, and makes the next ones wait for it', () => {
  const { clock, spend } = trial();
  expect(() => spend(10, 30)).not.toThrow();
  expect(() => spend(10)).toThrow(expect.objectContaining({ retryAfterMs: 2_100 }));
  clock.advance(2_099);
  expect(() => spend(10)).toThrow();
  clock.advance(1);
  expect(() => spend(10)).not.toThrow();
});

it('applies a new rate at once, counts nothing without a bound, and forgets removed identities', () => {
  const { rates, spend } = trial();
  for (let at = 0; at < 1_000; at += 1) spend(Number.POSITIVE_INFINITY);
  spend(100);
  // The rest of the larger burst is gone.
  spend(2);
  spend(2);
  expect(() => spend(2)).toThrow();
  rates.keepOnly(new Map([['checkout', true]]));
  expect(() => spend(2)).toThrow();
  rates.keepOnly(new Map());
  expect(() => spend(2)).not.toThrow();
});
