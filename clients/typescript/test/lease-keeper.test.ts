import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { DibsError } from '../src/errors.js';
import { type Extend, LeaseKeeper } from '../src/lease-keeper.js';

// When a lease is extended and when it is over, by a clock that the test moves.

const LEASE_MS = 9_000;
const extended = { outcome: 'extended', expiresInMs: LEASE_MS } as const;
const down = () => Promise.reject(new DibsError('UNAVAILABLE', 'gone'));

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Starts a keeper. Records when its lease was extended and lost, in milliseconds since its answer came. */
function keep(extend: Extend, holdMsMax?: number, tookMs = 0) {
  const startMs = performance.now();
  const [asked, lost]: [number[], number[]] = [[], []];
  const deadlines: number[] = [];
  const at = () => Math.round(performance.now() - startMs);
  const counted: Extend = (deadlineMs) => {
    asked.push(at());
    deadlines.push(deadlineMs);
    return extend(deadlineMs);
  };
  const lease = { sentMs: startMs - tookMs, expiresInMs: LEASE_MS };
  const keeper = new LeaseKeeper(counted, lease, () => lost.push(at()), holdMsMax);
  return { keeper, asked, lost, deadlines };
}

it('extends every third of the lease while the rebuild runs', async () => {
  const { keeper, asked, lost } = keep(async () => extended);
  await vi.advanceTimersByTimeAsync(5 * 3_000);
  expect(asked).toEqual([3_000, 6_000, 9_000, 12_000, 15_000]);
  keeper.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(5);
  expect(lost).toEqual([]);
});

it('retries sooner each time while extensions fail, and loses the lease at its end and not before', async () => {
  const { keeper, asked, lost } = keep(down);
  await vi.advanceTimersByTimeAsync(LEASE_MS - 1);
  expect(asked.slice(0, 3)).toEqual([3_000, 5_000, 6_333]);
  expect(lost).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(lost).toEqual([LEASE_MS]);
  expect(keeper.lost).toBe(true);
  const triedUntilThen = asked.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(triedUntilThen);
  expect(lost).toHaveLength(1);
});

it('loses a lease that is held for longer than the maximum, and stops extending it', async () => {
  const { keeper, asked, lost } = keep(async () => extended, 10_000);
  await vi.advanceTimersByTimeAsync(9_999);
  expect(asked).toEqual([3_000, 6_000, 9_000]);
  expect(lost).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(lost).toEqual([10_000]);
  expect(asked).toHaveLength(3);
  expect(keeper.heldTooLong).toBe(true);
});

it('continues from the new end after an extension succeeds at last', async () => {
  let time = 0;
  const { lost, asked } = keep(() => (++time <= 2 ? down() : Promise.resolve(extended)));
  await vi.advanceTimersByTimeAsync(LEASE_MS + 1_000);
  expect(lost).toEqual([]);
  expect(asked).toEqual([3_000, 5_000, 6_333, 9_333]);
});

it('counts the lease from the request of the extension, not from its answer', async () => {
  let time = 0;
  const slow = async () => {
    if (++time > 1) return down();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    return extended;
  };
  const { lost } = keep(slow);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(lost).toEqual([3_000 + LEASE_MS]);
});

it('counts the lease from when its request was sent, not from when the answer came', async () => {
  const { asked, lost } = keep(down, undefined, 6_000);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked[0]).toBe(1_000);
  expect(lost).toEqual([3_000]);
});

it.each([6_001, 9_000, 30_000])('extends a lease at once that may be over: after %s ms', async (tookMs) => {
  const extends_ = keep(async () => extended, undefined, tookMs);
  await vi.advanceTimersByTimeAsync(3_000);
  // The request may also have waited for the lease at the service. The answer decides.
  expect([extends_.asked, extends_.lost]).toEqual([[0, 3_000], []]);
  extends_.keeper.stop();
  const over = keep(async () => ({ outcome: 'lost', expiresInMs: 0 }), undefined, tookMs);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([over.asked, over.lost]).toEqual([[0], [0]]);
});

it('leaves a lease that may be over the time of one extension', async () => {
  const { lost } = keep(down, undefined, 30_000);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(lost).toEqual([2_000]);
});

it('gives no extension more time than the lease has left', async () => {
  const { deadlines, asked } = keep(down);
  await vi.advanceTimersByTimeAsync(LEASE_MS);
  expect(deadlines[0]).toBe(2_000);
  expect(deadlines.at(-1)).toBeLessThan(100);
  for (const [index, deadlineMs] of deadlines.entries()) {
    expect(deadlineMs).toBeLessThanOrEqual(Math.max(1, LEASE_MS - (asked[index] ?? 0) + 1));
  }
});

it('reports a lost lease once, and stops extending it', async () => {
  const { asked, lost } = keep(async () => ({ outcome: 'lost', expiresInMs: 0 }));
  await vi.advanceTimersByTimeAsync(60_000);
  expect([asked, lost]).toEqual([[3_000], [3_000]]);
});

it('does not report a loss that it learns of after the rebuild has ended', async () => {
  let answer: (lost: { outcome: 'lost'; expiresInMs: number }) => void = () => {};
  const { keeper, lost } = keep(
    () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  );
  await vi.advanceTimersByTimeAsync(3_000);
  keeper.stop();
  answer({ outcome: 'lost', expiresInMs: 0 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(lost).toEqual([]);
});
