import { expect, it } from 'vitest';
import { WaiterLimits } from '../../../../src/coordination/waiting/waiter-limits.js';
import { LIMITS } from '../../../support/coordination-trial.js';

const { waitersPerKeyMax, waitersMax } = LIMITS;

it('a key takes as many waiters as allowed, and the refusal of one more names the limit', () => {
  const waiterLimits = new WaiterLimits({ limits: LIMITS });
  expect(() => waiterLimits.refuseIfFull('', waitersPerKeyMax - 1)).not.toThrow();
  expect(() => waiterLimits.refuseIfFull('', waitersPerKeyMax)).toThrow(
    `key: ${waitersPerKeyMax} callers wait for it on this replica (DIBS_WAITERS_PER_KEY)`,
  );
});

it('a replica takes as many waiters as allowed, and the refusal of one more names the limit', () => {
  const waiterLimits = new WaiterLimits({ limits: LIMITS });
  for (let at = 0; at < waitersMax; at += 1) {
    expect(() => waiterLimits.refuseIfFull('', 0)).not.toThrow();
    waiterLimits.enter('');
  }
  expect(() => waiterLimits.refuseIfFull('', 0)).toThrow(
    `${waitersMax} callers wait on this replica (DIBS_WAITERS)`,
  );
  waiterLimits.leave('');
  expect(() => waiterLimits.refuseIfFull('', 0)).not.toThrow();
  expect(waiterLimits.size).toBe(waitersMax - 1);
});

it('an identity takes as many waiters as allowed, and one more is refused, but not of another identity', () => {
  const bounds = new Map([['checkout', 2]]);
  const waitersMaxOf = (identity: string) => bounds.get(identity) ?? Number.POSITIVE_INFINITY;
  const waiterLimits = new WaiterLimits({ limits: LIMITS, waitersMaxOf });
  for (let at = 0; at < 2; at += 1) {
    expect(() => waiterLimits.refuseIfFull('checkout', 0)).not.toThrow();
    waiterLimits.enter('checkout');
    waiterLimits.enter('search');
  }
  expect(() => waiterLimits.refuseIfFull('checkout', 0)).toThrow(
    expect.objectContaining({
      kind: 'exhausted',
      message: '2 callers of checkout wait on this replica (waiters in DIBS_AUTH_FILE)',
      retryAfterMs: expect.any(Number),
    }),
  );
  expect(() => waiterLimits.refuseIfFull('search', 0)).not.toThrow();
  waiterLimits.leave('search');
  expect(() => waiterLimits.refuseIfFull('checkout', 0)).toThrow();
  waiterLimits.leave('checkout');
  expect(() => waiterLimits.refuseIfFull('checkout', 0)).not.toThrow();
  // Lowering the limit neither evicts waiters nor admits new ones.
  bounds.set('checkout', 1);
  expect(() => waiterLimits.refuseIfFull('checkout', 0)).toThrow('1 callers');
});
