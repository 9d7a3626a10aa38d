import { expect, it } from 'vitest';
import { refuseIfFull } from '../../../src/coordination/crowd.js';
import { LIMITS } from '../../support/coordination-trial.js';

const { waitersPerKeyMax, waitersMax } = LIMITS;

it('takes as many as may wait, for a key and on the replica', () => {
  expect(() => refuseIfFull(LIMITS, waitersPerKeyMax - 1, waitersMax - 1)).not.toThrow();
});

it('refuses one more, naming the bound', () => {
  expect(() => refuseIfFull(LIMITS, waitersPerKeyMax, 0)).toThrow(
    `key: ${waitersPerKeyMax} callers wait for it on this replica (DIBS_WAITERS_PER_KEY)`,
  );
  expect(() => refuseIfFull(LIMITS, 0, waitersMax)).toThrow(
    `${waitersMax} callers wait on this replica (DIBS_WAITERS)`,
  );
});
