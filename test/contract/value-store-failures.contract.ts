import { describe, expect, test } from 'vitest';
import { freshNonce } from '../support/fresh-nonce.js';
import { LONG_MS, type StoreTrial } from '../support/store-trial.js';

/** More than the doublings that a number can take. */
const FAILURES = 1_030;

/** Many failures in a row. */
export function failuresContract(current: () => StoreTrial): void {
  describe('a key that has failed for long', () => {
    test('has no back-off if the first one is 0', async () => {
      const trial = current();
      let read = { fence: 0, valueFence: 0 };
      for (let failures = 0; failures < FAILURES; failures += 1) {
        const nonce = freshNonce();
        const { armed, record } = await trial.armAsRead(read, nonce);
        expect(armed).toBe(true);
        expect(await trial.fail(nonce, { backoffMs: 0, backoffMsMax: LONG_MS })).toBe('released');
        read = record;
      }
      expect((await trial.read()).failure).toMatchObject({ count: FAILURES, retryAfterMs: 0 });
    });
  });
}
