import { describe, expect, it } from 'vitest';
import { inPatience, isLost } from '../../../../src/coordination/degradation/patience.js';
import { StoreUnavailable } from '../../../../src/coordination/ports/value-store.js';
import { defaultPolicy } from '../../../../src/coordination/words/policy.js';
import { LIMITS } from '../../../support/coordination-trial.js';
import { ManualClock } from '../../../support/manual-clock.js';

const POLICY = defaultPolicy(LIMITS);

describe('the patience with a late store', () => {
  it.each([
    { what: 'has no end by default', policy: {}, patienceMs: undefined },
    {
      what: 'ends at the soft timeout with on_late: degrade',
      policy: { onLate: 'degrade' },
      patienceMs: 300,
    },
    { what: 'ends within a second with on_loss: fail', policy: { onLoss: 'fail' }, patienceMs: 900 },
    { what: 'ends at the earlier of both', policy: { onLate: 'degrade', onLoss: 'fail' }, patienceMs: 300 },
  ] as const)('$what', async ({ policy, patienceMs }) => {
    const clock = new ManualClock();
    let error: unknown;
    const parts = { clock, limits: LIMITS, policyOf: () => ({ ...POLICY, ...policy }) };
    inPatience(parts, 'n', new Promise(() => {})).catch((why) => {
      error = why;
    });
    const settle = () => new Promise((resolve) => setImmediate(resolve));
    clock.advance((patienceMs ?? 100_000) - 1);
    await settle();
    expect(error).toBeUndefined();
    clock.advance(1);
    await settle();
    if (patienceMs === undefined) expect(error).toBeUndefined();
    else expect(error).toMatchObject({ name: 'StoreUnavailable', how: 'late' });
  });

  it('begins only when the request is sent', async () => {
    const clock = new ManualClock();
    const parts = { clock, limits: LIMITS, policyOf: () => ({ ...POLICY, onLoss: 'fail' as const }) };
    let sinceMs: number | undefined;
    let error: unknown;
    const turn = { sentAtMs: () => sinceMs, lateness: { owedSinceMs: undefined } };
    inPatience(parts, 'n', new Promise(() => {}), turn).catch((why) => {
      error = why;
    });
    const pass = async (ms: number) => {
      clock.advance(ms);
      await new Promise((resolve) => setImmediate(resolve));
    };
    for (let at = 0; at < 100; at += 1) await pass(100);
    sinceMs = clock.nowMs();
    for (let at = 0; at < 8; at += 1) await pass(100);
    await pass(99);
    expect(error).toBeUndefined();
    await pass(1);
    expect(error).toMatchObject({ name: 'StoreUnavailable', how: 'late' });
    expect(clock.timers).toBe(0);
  });

  it('passes on a reply or an error in time, and leaves no timer', async () => {
    const clock = new ManualClock();
    const parts = { clock, limits: LIMITS, policyOf: () => ({ ...POLICY, onLoss: 'fail' as const }) };
    expect(await inPatience(parts, 'n', Promise.resolve('a reply'))).toBe('a reply');
    await expect(inPatience(parts, 'n', Promise.reject(new Error('no')))).rejects.toThrow('no');
    await Promise.resolve();
    expect(clock.timers).toBe(0);
  });
});

describe('isLost', () => {
  it.each(['gone', 'silent'] as const)('counts a %s store as lost', (how) => {
    expect(isLost(new StoreUnavailable('why', { how }), POLICY)).toBe(true);
  });

  it('counts a late store as lost only with on_late: degrade', () => {
    const late = new StoreUnavailable('why', { how: 'late' });
    expect(isLost(late, POLICY)).toBe(false);
    expect(isLost(late, { ...POLICY, onLate: 'degrade' })).toBe(true);
  });
});
