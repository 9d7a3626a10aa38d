import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Calls } from '../src/calls.js';
import { SYSTEM_CLOCK } from '../src/clock.js';
import { BusyReason } from '../src/generated/dibs/v1/coordinator.js';
import { ManyAnswers } from '../src/many-answers.js';
import { getOrLockOutcome } from '../src/outcomes.js';
import { busy, lease } from './fake-service.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const callsOf = (getOrLockMany: Calls['getOrLockMany']) =>
  ({ getOrLockMany, groupsOf: (keys: readonly string[]) => [keys] }) as Pick<
    Calls,
    'getOrLockMany' | 'groupsOf'
  > as Calls;

/** Asks for 1,001 keys, in two calls. The second one is not answered. */
function asked() {
  const getOrLockMany: Calls['getOrLockMany'] = async function* ({ keys }) {
    if (keys.length === 1) await new Promise(() => {});
    for (const key of keys) yield { key, outcome: getOrLockOutcome(lease(key)) };
  };
  const answers = new ManyAnswers({
    ...{ calls: callsOf(getOrLockMany), clock: SYSTEM_CLOCK, requestId: 'r', signal: undefined },
    ...{
      asked: {},
      waits: true,
      traceparent: undefined,
      waiting: () => ({ waitMs: 30_000, deadlineMs: 32_000 }),
    },
  });
  const keys = Array.from({ length: 1_001 }, (_, at) => `key ${at}`);
  const firsts = keys.map((key) => answers.of(key).outcome);
  const first = vi.fn();
  void answers.ask(first);
  return { firsts, first };
}

describe('the first answers of many keys', () => {
  it('are used after three seconds, although one replica has not answered', async () => {
    const { firsts, first } = asked();
    expect(await firsts[0]).toMatchObject({ kind: 'lease' });
    await vi.advanceTimersByTimeAsync(2_999);
    expect(first).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(first).toHaveBeenCalledTimes(1);
  });

  it('are no longer asked for than their caller waits', async () => {
    const waits: number[] = [];
    const untilMs = performance.now() + 100;
    const getOrLockMany: Calls['getOrLockMany'] = async function* ({ keys, waitMs = -1 }) {
      waits.push(waitMs);
      for (const key of keys)
        yield { key, outcome: getOrLockOutcome(busy(1, BusyReason.BUSY_REASON_UNDECIDED)) };
    };
    const answers = new ManyAnswers({
      ...{ calls: callsOf(getOrLockMany), clock: SYSTEM_CLOCK, requestId: 'r', signal: undefined },
      ...{ asked: {}, waits: true, traceparent: undefined },
      waiting: () => ({ waitMs: Math.max(0, untilMs - performance.now()), deadlineMs: 32_000 }),
    });
    const { outcome } = answers.of('key');
    const asking = answers.ask(() => {});
    await vi.advanceTimersByTimeAsync(120);
    await asking;
    expect(await outcome).toMatchObject({ kind: 'busy', reason: 'undecided' });
    expect(waits.length).toBeLessThan(8);
  });
});
