import { describe, expect, it } from 'vitest';
import {
  rethrowUnlessUnavailable,
  throwIfOnLossFails,
  unavailable,
  undefinedIfUnavailable,
} from '../../../../src/coordination/degradation/unavailable.js';
import { StoreUnavailable } from '../../../../src/coordination/ports/value-store.js';
import { defaultPolicy } from '../../../../src/coordination/words/policy.js';
import { LIMITS } from '../../../support/coordination-trial.js';

describe('the loss of the store', () => {
  it('is swallowed, and every other error is rethrown', () => {
    expect(() => rethrowUnlessUnavailable(new StoreUnavailable('gone'))).not.toThrow();
    expect(undefinedIfUnavailable(new StoreUnavailable('gone'))).toBeUndefined();
    expect(() => rethrowUnlessUnavailable(new TypeError('ours'))).toThrow('ours');
    expect(() => undefinedIfUnavailable(new TypeError('ours'))).toThrow('ours');
  });

  it('is an error only with on_loss: fail, and says when to retry', () => {
    const policy = defaultPolicy(LIMITS);
    expect(() => throwIfOnLossFails(policy, 'the value store')).not.toThrow();
    expect(() => throwIfOnLossFails({ ...policy, onLoss: 'fail' }, 'the value store')).toThrow(
      /on_loss is fail/,
    );
    expect(unavailable('nothing can decide')).toMatchObject({ kind: 'unavailable', retryAfterMs: 1_000 });
  });
});
